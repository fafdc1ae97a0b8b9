#pragma once

// Whether ISA-L is there to compile with, as binding.gyp asks for linking with it.
#if __has_include(<isa-l/igzip_lib.h>)
#include <isa-l.h>
#define TSBUILD_ISAL 1
#else
#define TSBUILD_ISAL 0
#endif

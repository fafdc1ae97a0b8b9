#pragma once

#include <cstdint>
#include <string_view>

#include "cancellation.h"

namespace tsbuild {

// Copies the bytes of a file into a new, empty one: shared where the filesystem can (FICLONE), else in the kernel,
// else by reading and writing. Holes stay holes. Throws Failure naming `path`.
void copyFileBytes(int from, int to, uint64_t size, std::string_view path, const Cancellation& cancellation);

// Reads from where the file stands; less than `size` only at its end. Throws Failure naming `path`.
size_t readBytes(int from, uint8_t* to, size_t size, std::string_view path);

// Writes all of `data` where the file stands.
void writeBytes(int to, const uint8_t* data, size_t size, std::string_view path);

}  // namespace tsbuild

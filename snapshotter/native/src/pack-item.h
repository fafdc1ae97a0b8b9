#pragma once

#include <exception>
#include <string>

#include "bytes.h"
#include "tar-entry.h"

namespace tsbuild {

// An entry to pack, with the place of its bytes when it is a file.
struct PackItem {
  TarEntry entry;
  // Host directory and path below it; an empty root means that the bytes are in `content`.
  std::string sourceRoot;
  std::string sourcePath;
  // Digest that the bytes must have; empty: whatever they are.
  std::string expect;

  // Filled while packing. A file that is too large to be held is read by the thread that writes the tar.
  Bytes content;
  std::string digest;
  std::exception_ptr failure;
  bool isReady = false;
};

}  // namespace tsbuild

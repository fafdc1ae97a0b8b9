#pragma once

#include <string>

#include "tar-entry.h"

namespace tsbuild {

// The header blocks of an entry: ustar, preceded by a PAX header only when ustar cannot hold a value. Failures:
// `reserved-name` for a name that readers would take for a whiteout, `bad-entry` for what no tar can hold.
std::string tarHeader(const TarEntry& entry);

// Bytes that fill up the last block of a content.
inline size_t tarPadding(uint64_t size) {
  return static_cast<size_t>((tarBlockSize - size % tarBlockSize) % tarBlockSize);
}

}  // namespace tsbuild

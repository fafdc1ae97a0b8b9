#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "columns.h"
#include "xattr.h"

namespace tsbuild {

constexpr size_t tarBlockSize = 512;

// An entry of a layer tar, both ways. Paths are as in LayerPath: relative, normalised, "" is the root.
struct TarEntry {
  EntryType type = EntryType::file;
  std::string path;
  // Of a symlink the text, of a hard link a layer path.
  std::string target;
  uint32_t mode = 0;
  uint64_t uid = 0;
  uint64_t gid = 0;
  int64_t mtimeSec = 0;
  uint64_t size = 0;
  uint32_t major = 0;
  uint32_t minor = 0;
  std::vector<Xattr> xattrs;
};

constexpr std::string_view whiteoutPrefix = ".wh.";
constexpr std::string_view opaqueMarker = ".wh..wh..opq";

}  // namespace tsbuild

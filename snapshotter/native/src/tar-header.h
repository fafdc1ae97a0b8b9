#pragma once

#include <string>
#include <string_view>

#include "tar-entry.h"
#include "tar-fields.h"
#include "tar-read.h"

namespace tsbuild {

// A header block; offsets and sizes as in pax(1) and the GNU tar manual, "Basic Tar Format".
struct TarReader::Header {
  char bytes[tarBlockSize];

  std::string_view field(size_t offset, size_t size) const { return std::string_view(bytes + offset, size); }
  char type() const { return bytes[156]; }
  bool isGnu() const { return field(257, 8) == std::string_view("ustar  \0", 8); }
  bool isUstar() const { return field(257, 5) == "ustar" && !isGnu(); }
  // The star format ends its header block so and has a shorter prefix, before two times.
  bool isStar() const { return isUstar() && field(508, 4) == std::string_view("tar\0", 4); }

  std::string name() const {
    const std::string name(parseTarText(field(0, 100)));
    if (!isUstar()) return name;
    const std::string prefix(parseTarText(field(345, isStar() ? 131 : 155)));
    return prefix.empty() ? name : prefix + "/" + name;
  }
};

}  // namespace tsbuild

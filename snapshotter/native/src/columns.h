#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "xattr.h"

namespace tsbuild {

// Codes of entry types at the JavaScript boundary; native/entry-columns.ts has the same list.
enum class EntryType : uint8_t {
  dir = 0,
  file = 1,
  symlink = 2,
  charDevice = 3,
  blockDevice = 4,
  fifo = 5,
  socket = 6,
  hardlink = 7,
  whiteout = 8,
  opaque = 9,
};

// A list of entries on its way to JavaScript, column by column: making 50,000 objects property by property through
// Node-API costs more than walking the tree that they describe. native/entry-columns.ts makes the objects.
class Columns {
 public:
  void add(EntryType type, std::string_view path);
  void number(double value) { numbers_.push_back(value); }
  void target(std::string_view value);
  void digest(std::string_view value) { digests_ += value; }
  void xattrs(const std::vector<Xattr>& attributes);
  size_t count() const { return count_; }

  Napi::Object toJs(Napi::Env env) const;

 private:
  struct NumberedXattr {
    size_t entry;
    Xattr attribute;
  };

  size_t count_ = 0;
  // Type, then what the caller adds, per entry.
  std::vector<double> numbers_;
  std::string paths_;
  std::string targets_;
  std::string digests_;
  std::vector<NumberedXattr> xattrs_;
};

}  // namespace tsbuild

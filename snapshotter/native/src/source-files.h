#pragma once

#include <map>
#include <mutex>
#include <string>

#include "descriptor.h"
#include "pack-item.h"

namespace tsbuild {

// The files that entries are made of, opened below their roots by descriptor. May be used by several threads.
class SourceFiles {
 public:
  // Fails with `content-changed` when it is no longer a regular file of the entry's size.
  Descriptor open(const PackItem& item);
  // The directory that holds it (O_PATH). Symlinks in its path mean what they meant to who unpacked it there.
  Descriptor openParent(const PackItem& item);

 private:
  int rootOf(const std::string& path);

  std::mutex mutex_;
  std::map<std::string, Descriptor> roots_;
};

[[noreturn]] void failChanged(const PackItem& item, const std::string& how);

}  // namespace tsbuild

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "descriptor.h"
#include "tar-entry.h"

namespace tsbuild {

// An entry of an archive, with what is known once its bytes were read.
struct FoundEntry {
  TarEntry entry;
  // Of a file, `sha256:` and 64 digits.
  std::string digest;
  // How many came before it.
  uint64_t number = 0;
};

// Sorts any number of entries by path, those of one path as they came, in bounded memory: what does not fit is in sorted
// runs in a file without a name, which are merged at the end.
class EntryRuns {
 public:
  // `path` is free for a moment when the file is made.
  explicit EntryRuns(std::string path) : path_(std::move(path)) {}

  void add(const TarEntry& entry, std::string_view digest);
  // Once, at the end.
  void sorted(const std::function<void(const FoundEntry&)>& each);

 private:
  struct Run {
    uint64_t at;
    uint64_t end;
  };

  void sortRecords();
  void writeRun();
  void merge(const std::function<void(const FoundEntry&)>& each);

  const std::string path_;
  Descriptor file_;
  uint64_t fileSize_ = 0;
  std::vector<Run> runs_;
  uint64_t count_ = 0;
  // Of the run that is being filled, and where its records begin.
  std::string bytes_;
  std::vector<size_t> records_;
};

}  // namespace tsbuild

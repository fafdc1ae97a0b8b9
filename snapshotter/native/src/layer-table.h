#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cancellation.h"
#include "contents-writer.h"
#include "entry-runs.h"

namespace tsbuild {

// Makes the table of contents of a tar: sorted, one entry per path (features rows O18 and O20). A later entry of a path
// replaces an earlier one together with what was below it, unless both are directories; marks are kept beside entries of
// their path. Memory does not grow with the number of entries.
class LayerTable {
 public:
  // The file must not exist; it is removed again unless `finish` succeeded.
  explicit LayerTable(const std::string& path) : runs_(path + ".runs"), writer_(path) {}

  // In the order of the tar.
  void add(const TarEntry& entry, std::string_view digest) { runs_.add(entry, digest); }
  void finish(const Cancellation& cancellation);
  // Directories that entries need and no entry describes, sorted. After `finish`.
  const std::vector<std::string>& implied() const { return implied_; }
  // The table is what unpacking the tar makes, whatever its order: nothing is below what is no directory, and what is there
  // several times is a directory each time, or none and no hard link can mean one of them. After `finish`.
  bool isPlain() const { return isPlain_ && !(hasReplaced_ && hasLink_); }

 private:
  // A directory, or what is one because it has something below.
  struct Above {
    size_t pathSize;
    bool isDescribed;
    // What is below and came before was replaced together with it. 0: nothing was.
    uint64_t replacedBefore;
  };

  void take(const FoundEntry& found);
  void enter(const std::string& path);
  void endPath();

  EntryRuns runs_;
  ContentsWriter writer_;
  std::vector<std::string> implied_;
  bool isPlain_ = true;
  bool hasReplaced_ = false;
  bool hasLink_ = false;
  // What is above the current path, the outermost first.
  std::vector<Above> above_;
  std::optional<std::string> path_;
  // Of the current path.
  bool isDescribed_ = false;
  bool hasWhiteout_ = false;
  bool hasOpaque_ = false;
  std::optional<FoundEntry> last_;
  uint64_t replacedBefore_ = 0;
};

}  // namespace tsbuild

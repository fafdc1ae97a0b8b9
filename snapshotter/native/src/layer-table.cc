#include "layer-table.h"

#include <sys/stat.h>

#include <algorithm>

namespace tsbuild {

namespace {

TarEntry markAt(EntryType type, const std::string& path) {
  TarEntry mark;
  mark.type = type;
  mark.path = path;
  return mark;
}

// Whether all else in a tar means the same without the earlier of two entries of a path: what is made in a directory may
// have got its group from it, and attributes that it had stay.
bool isReplacedAlike(const TarEntry& earlier, const TarEntry& later) {
  const bool isDirectory = earlier.type == EntryType::dir;
  if (isDirectory != (later.type == EntryType::dir)) return false;
  return !isDirectory || (((earlier.mode ^ later.mode) & S_ISGID) == 0 && earlier.xattrs.empty());
}

}  // namespace

void LayerTable::finish(const Cancellation& cancellation) {
  runs_.sorted([&](const FoundEntry& found) {
    cancellation.check();
    take(found);
  });
  if (path_) endPath();
  writer_.finish();
}

void LayerTable::take(const FoundEntry& found) {
  const TarEntry& entry = found.entry;
  if (path_ != entry.path) {
    if (path_) endPath();
    enter(entry.path);
    path_ = entry.path;
  } else if (!last_ || !isReplacedAlike(last_->entry, entry)) {
    isPlain_ = false;
  } else if (entry.type != EntryType::dir) {
    hasReplaced_ = true;
  }
  hasLink_ = hasLink_ || entry.type == EntryType::hardlink;
  if (entry.type == EntryType::whiteout) {
    hasWhiteout_ = true;
  } else if (entry.type == EntryType::opaque) {
    hasOpaque_ = true;
  } else {
    const bool isDirectory = entry.type == EntryType::dir;
    if (!isDirectory && last_ && last_->entry.type == EntryType::dir) replacedBefore_ = found.number;
    isDescribed_ = isDescribed_ || isDirectory;
    last_ = found;
  }
}

// Parents come before what is below them, so that all that is said of them is known.
void LayerTable::enter(const std::string& path) {
  size_t common = 0;
  if (path_) {
    const size_t size = std::min(path.size(), path_->size());
    while (common < size && path[common] == (*path_)[common]) common += 1;
  }
  const auto isAbove = [&](size_t size) { return size <= common && size < path.size() && path[size] == '/'; };
  while (!above_.empty() && !isAbove(above_.back().pathSize)) above_.pop_back();
  if (!above_.empty() && !above_.back().isDescribed) {
    // Once, for the first thing below it.
    implied_.push_back(path.substr(0, above_.back().pathSize));
    above_.back().isDescribed = true;
    isPlain_ = false;
  }
  const size_t known = above_.empty() ? 0 : above_.back().pathSize + 1;
  for (size_t end = path.find('/', known); end != std::string::npos; end = path.find('/', end + 1)) {
    implied_.push_back(path.substr(0, end));
    above_.push_back({end, true, above_.empty() ? 0 : above_.back().replacedBefore});
  }
}

void LayerTable::endPath() {
  const uint64_t replacedAbove = above_.empty() ? 0 : above_.back().replacedBefore;
  if (hasWhiteout_) writer_.add(markAt(EntryType::whiteout, *path_), "");
  if (last_ && last_->number >= replacedAbove) writer_.add(last_->entry, last_->digest);
  if (hasOpaque_) writer_.add(markAt(EntryType::opaque, *path_), "");
  // Everything is below the root, which is always there.
  if (!path_->empty()) above_.push_back({path_->size(), isDescribed_, std::max(replacedAbove, replacedBefore_)});
  isDescribed_ = hasWhiteout_ = hasOpaque_ = false;
  last_.reset();
  replacedBefore_ = 0;
}

}  // namespace tsbuild

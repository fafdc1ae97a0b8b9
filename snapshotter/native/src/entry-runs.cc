#include "entry-runs.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <queue>

#include "copy-file.h"
#include "failure.h"
#include "path-bytes.h"

namespace tsbuild {

namespace {

// A layer with fewer than about 70,000 entries makes no file.
constexpr size_t runBytesMax = 16 * 1024 * 1024;
constexpr size_t readSize = 64 * 1024;

// A record: this, then path, target, digest, and name and value of each attribute.
struct RecordHead {
  // Of the whole record.
  uint32_t recordSize;
  uint32_t pathSize;
  uint32_t targetSize;
  uint32_t digestSize;
  uint32_t xattrCount;
  uint32_t mode;
  uint32_t major;
  uint32_t minor;
  uint64_t uid;
  uint64_t gid;
  int64_t mtimeSec;
  // Of a file's content.
  uint64_t size;
  uint64_t number;
  EntryType type;
};

struct XattrHead {
  uint32_t nameSize;
  uint32_t valueSize;
};

template <typename Value>
Value readValue(const char* from) {
  Value value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename Value>
void appendValue(std::string& out, const Value& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// What an entry and the head of its record both have, either way.
template <typename From, typename To>
void copyNumbers(const From& from, To& to) {
  to.type = from.type;
  to.mode = from.mode;
  to.major = from.major;
  to.minor = from.minor;
  to.uid = from.uid;
  to.gid = from.gid;
  to.mtimeSec = from.mtimeSec;
  to.size = from.size;
}

void appendRecord(std::string& out, const TarEntry& entry, std::string_view digest, uint64_t number) {
  const auto size32 = [](size_t size) { return static_cast<uint32_t>(size); };
  RecordHead head = {};
  head.pathSize = size32(entry.path.size());
  head.targetSize = size32(entry.target.size());
  head.digestSize = size32(digest.size());
  head.xattrCount = size32(entry.xattrs.size());
  head.number = number;
  copyNumbers(entry, head);
  const size_t start = out.size();
  appendValue(out, head);
  out.append(entry.path).append(entry.target).append(digest);
  for (const auto& xattr : entry.xattrs) {
    appendValue(out, XattrHead{size32(xattr.name.size()), size32(xattr.value.size())});
    out.append(xattr.name).append(xattr.value);
  }
  head.recordSize = size32(out.size() - start);
  std::memcpy(&out[start], &head, sizeof head);
}

std::string_view pathOf(const char* record) {
  return {record + sizeof(RecordHead), readValue<RecordHead>(record).pathSize};
}

FoundEntry parseRecord(const char* record) {
  const auto head = readValue<RecordHead>(record);
  const char* at = record + sizeof head;
  const auto take = [&](size_t size) {
    std::string part(at, size);
    at += size;
    return part;
  };
  FoundEntry found;
  TarEntry& entry = found.entry;
  copyNumbers(head, entry);
  entry.path = take(head.pathSize);
  entry.target = take(head.targetSize);
  found.digest = take(head.digestSize);
  found.number = head.number;
  for (uint32_t i = 0; i < head.xattrCount; i++) {
    const auto sizes = readValue<XattrHead>(at);
    at += sizeof sizes;
    std::string name = take(sizes.nameSize);
    entry.xattrs.push_back({std::move(name), take(sizes.valueSize)});
  }
  return found;
}

// The records of a run, one after the other.
class RunReader {
 public:
  RunReader(int file, uint64_t at, uint64_t end, const std::string& path)
      : file_(file), at_(at), end_(end), path_(path) {
    next();
  }

  // Null at the end.
  const char* record() const { return bytes_.size() == start_ ? nullptr : bytes_.data() + start_; }

  void next() {
    if (bytes_.size() > start_) start_ += readValue<RecordHead>(bytes_.data() + start_).recordSize;
    if (!holds(sizeof(RecordHead))) return;
    holds(readValue<RecordHead>(bytes_.data() + start_).recordSize);
  }

 private:
  // False at the end of the run.
  bool holds(size_t size) {
    if (bytes_.size() - start_ >= size) return true;
    bytes_.erase(0, start_);
    start_ = 0;
    const size_t held = bytes_.size();
    bytes_.resize(held + std::min<uint64_t>(end_ - at_, std::max(size - held, readSize)));
    for (size_t done = held; done < bytes_.size();) {
      const ssize_t part = pread(file_, &bytes_[done], bytes_.size() - done, static_cast<off_t>(at_));
      if (part < 0 && errno == EINTR) continue;
      if (part < 0) failErrno("read", path_);
      if (part == 0) failErrno("read", path_, EIO);
      done += static_cast<size_t>(part);
      at_ += static_cast<uint64_t>(part);
    }
    return bytes_.size() >= size;
  }

  const int file_;
  uint64_t at_;
  const uint64_t end_;
  const std::string& path_;
  std::string bytes_;
  size_t start_ = 0;
};

}  // namespace

void EntryRuns::add(const TarEntry& entry, std::string_view digest) {
  records_.push_back(bytes_.size());
  appendRecord(bytes_, entry, digest, count_);
  count_ += 1;
  if (bytes_.size() >= runBytesMax) writeRun();
}

void EntryRuns::sortRecords() {
  const auto isBefore = [this](size_t a, size_t b) {
    return comparePaths(pathOf(&bytes_[a]), pathOf(&bytes_[b])) < 0;
  };
  // Most archives are in order, nearly.
  if (!std::is_sorted(records_.begin(), records_.end(), isBefore)) {
    std::stable_sort(records_.begin(), records_.end(), isBefore);
  }
}

void EntryRuns::writeRun() {
  if (!file_) {
    file_.reset(open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file_ || unlink(path_.c_str()) != 0) failErrno("open", path_);
  }
  sortRecords();
  const uint64_t start = fileSize_;
  std::string out;
  const auto flush = [&] {
    writeBytes(file_.get(), reinterpret_cast<const uint8_t*>(out.data()), out.size(), path_);
    fileSize_ += out.size();
    out.clear();
  };
  for (const size_t record : records_) {
    out.append(bytes_, record, readValue<RecordHead>(&bytes_[record]).recordSize);
    if (out.size() >= readSize) flush();
  }
  flush();
  runs_.push_back({start, fileSize_});
  bytes_.clear();
  records_.clear();
}

void EntryRuns::sorted(const std::function<void(const FoundEntry&)>& each) {
  if (!runs_.empty()) return merge(each);
  sortRecords();
  for (const size_t record : records_) each(parseRecord(&bytes_[record]));
}

void EntryRuns::merge(const std::function<void(const FoundEntry&)>& each) {
  if (!records_.empty()) writeRun();
  bytes_.shrink_to_fit();
  std::vector<std::unique_ptr<RunReader>> readers;
  // The first of equals is in the earlier run.
  const auto isAfter = [&](size_t a, size_t b) {
    const int order = comparePaths(pathOf(readers[a]->record()), pathOf(readers[b]->record()));
    return order > 0 || (order == 0 && a > b);
  };
  std::priority_queue<size_t, std::vector<size_t>, decltype(isAfter)> next(isAfter);
  for (const auto& run : runs_) readers.push_back(std::make_unique<RunReader>(file_.get(), run.at, run.end, path_));
  for (size_t i = 0; i < readers.size(); i++) next.push(i);
  while (!next.empty()) {
    const size_t least = next.top();
    next.pop();
    each(parseRecord(readers[least]->record()));
    readers[least]->next();
    if (readers[least]->record() != nullptr) next.push(least);
  }
}

}  // namespace tsbuild

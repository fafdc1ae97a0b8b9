#include "pack-items.h"

#include <algorithm>

#include "path-bytes.h"

namespace tsbuild {

namespace {

// Numbers of each entry in the order of native/entry-columns.ts.
constexpr size_t numbersPerItem = 9;

// Takes the next element of a list that crossed the boundary as one string.
class ListReader {
 public:
  explicit ListReader(const Napi::Value& joined) : values_(splitList(pathFromJs(joined))) {}
  std::string next() { return at_ < values_.size() ? std::move(values_[at_++]) : std::string(); }

 private:
  std::vector<std::string> values_;
  size_t at_ = 0;
};

Bytes copyBytes(const Napi::Value& value) {
  const auto array = value.As<Napi::Uint8Array>();
  Bytes out(array.ByteLength());
  out.size = array.ByteLength();
  std::copy(array.Data(), array.Data() + out.size, out.data.get());
  return out;
}

void readXattrs(const Napi::Array& flat, std::vector<PackItem>& items) {
  for (uint32_t i = 0; i + 2 < flat.Length(); i += 3) {
    const uint32_t entry = flat.Get(i).As<Napi::Number>();
    const Bytes value = copyBytes(flat.Get(i + 2));
    items.at(entry).entry.xattrs.push_back(
        {pathFromJs(flat.Get(i + 1)), std::string(reinterpret_cast<const char*>(value.data.get()), value.size)});
  }
}

}  // namespace

std::vector<PackItem> packItemsFromJs(const Napi::Object& batch) {
  const auto numbers = batch.Get("numbers").As<Napi::Float64Array>();
  ListReader paths(batch.Get("paths"));
  ListReader targets(batch.Get("targets"));
  ListReader sourcePaths(batch.Get("sourcePaths"));
  ListReader expects(batch.Get("expects"));
  const auto roots = splitList(pathFromJs(batch.Get("roots")));
  const auto contents = batch.Get("contents").As<Napi::Array>();
  uint32_t content = 0;
  std::vector<PackItem> items(numbers.ElementLength() / numbersPerItem);
  for (size_t i = 0; i < items.size(); i++) {
    const double* n = numbers.Data() + i * numbersPerItem;
    PackItem& item = items[i];
    TarEntry& entry = item.entry;
    entry.type = static_cast<EntryType>(static_cast<int>(n[0]));
    entry.path = paths.next();
    entry.mode = static_cast<uint32_t>(n[1]);
    entry.uid = static_cast<uint64_t>(n[2]);
    entry.gid = static_cast<uint64_t>(n[3]);
    entry.mtimeSec = static_cast<int64_t>(n[4]);
    entry.size = static_cast<uint64_t>(n[5]);
    entry.major = static_cast<uint32_t>(n[6]);
    entry.minor = static_cast<uint32_t>(n[7]);
    if (entry.type == EntryType::symlink || entry.type == EntryType::hardlink) entry.target = targets.next();
    if (entry.type != EntryType::file) continue;
    item.expect = expects.next();
    if (n[8] < 0) {
      item.content = copyBytes(contents.Get(content++));
    } else {
      item.sourceRoot = roots.at(static_cast<size_t>(n[8]));
      item.sourcePath = sourcePaths.next();
    }
  }
  readXattrs(batch.Get("xattrs").As<Napi::Array>(), items);
  return items;
}

}  // namespace tsbuild

#include "parts-table.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "crc32.h"
#include "sha256.h"

namespace tsbuild {

namespace {

struct Entry {
  RawDigest content;
  RawDigest blob;
  uint64_t engine;
  uint64_t offset;
  uint32_t size;
  uint32_t checksum;
  uint32_t encodedChecksum;
  // crc32Of what is before it.
  uint32_t ownChecksum;
};
static_assert(sizeof(Entry) == 96, "it is written as it lies in memory");

// An entry may lie anywhere in its bucket.
constexpr size_t bucketEntries = 4;
// 6 MB, and at 32 KiB a part 2 GB of content at least.
constexpr uint64_t buckets = 16384;
using Bucket = Entry[bucketEntries];

uint64_t firstBytesOf(const RawDigest& digest) {
  uint64_t value;
  std::memcpy(&value, digest.data(), sizeof value);
  return value;
}

off_t bucketOffset(const RawDigest& content) {
  return static_cast<off_t>(firstBytesOf(content) % buckets * sizeof(Bucket));
}

uint32_t ownChecksumOf(const Entry& entry) { return crc32Of(&entry, offsetof(Entry, ownChecksum)); }

bool isWhole(const Entry& entry) { return entry.size > 0 && entry.ownChecksum == ownChecksumOf(entry); }

// What cannot be read, and what is behind the end of the file, is no entry.
void readBucket(int file, off_t offset, Bucket& bucket) {
  std::memset(bucket, 0, sizeof bucket);
  (void)!pread(file, bucket, sizeof bucket, offset);
}

// The same content, else one that is none, else any.
size_t placeFor(const Entry& entry, const Bucket& bucket) {
  const auto isSame = [&](const Entry& other) { return other.content == entry.content && other.engine == entry.engine; };
  const auto* same = std::find_if(std::begin(bucket), std::end(bucket), isSame);
  if (same != std::end(bucket)) return static_cast<size_t>(same - bucket);
  const auto* none = std::find_if(std::begin(bucket), std::end(bucket), [](const Entry& other) { return !isWhole(other); });
  if (none != std::end(bucket)) return static_cast<size_t>(none - bucket);
  return entry.content.back() % bucketEntries;
}

uint64_t numberOf(const std::string& engine) {
  Sha256 hash;
  hash.update(engine.data(), engine.size());
  return firstBytesOf(rawDigestOf(hash.finish()));
}

}  // namespace

PartsTable::PartsTable(std::string path, const std::string& engine)
    : path_(std::move(path)), engine_(numberOf(engine)) {
  open(O_RDONLY);
}

bool PartsTable::open(int flags) {
  if (!path_.empty()) file_.reset(::open(path_.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600));
  return static_cast<bool>(file_);
}

std::string PartsTable::blobPath(const RawDigest& blob) const {
  static const char digits[] = "0123456789abcdef";
  std::string path = path_.substr(0, path_.rfind('/')) + "/sha256/";
  for (const uint8_t byte : blob) {
    path += digits[byte >> 4];
    path += digits[byte & 15];
  }
  return path;
}

std::optional<EncodedPart> PartsTable::find(const RawDigest& content) const {
  if (!file_) return std::nullopt;
  Bucket bucket;
  readBucket(file_.get(), bucketOffset(content), bucket);
  for (const Entry& entry : bucket) {
    if (entry.content != content || entry.engine != engine_ || !isWhole(entry)) continue;
    const Descriptor blob(::open(blobPath(entry.blob).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!blob) return std::nullopt;
    return readPart(blob.get(), {entry.offset, entry.size, entry.checksum, entry.encodedChecksum});
  }
  return std::nullopt;
}

void PartsTable::add(const std::string& blob, const std::vector<Part>& parts) {
  if (parts.empty() || !open(O_RDWR | O_CREAT)) return;
  const RawDigest blobDigest = rawDigestOf(blob);
  for (const auto& [content, place] : parts) {
    Entry entry = {content, blobDigest, engine_, place.offset, place.size, place.checksum, place.encodedChecksum, 0};
    entry.ownChecksum = ownChecksumOf(entry);
    const off_t offset = bucketOffset(content);
    Bucket bucket;
    readBucket(file_.get(), offset, bucket);
    const off_t at = offset + static_cast<off_t>(placeFor(entry, bucket) * sizeof(Entry));
    // A full disk, say: the rest would fare no better.
    if (pwrite(file_.get(), &entry, sizeof entry, at) != sizeof entry) return;
  }
}

}  // namespace tsbuild

#include "encoded-parts.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "descriptor.h"

namespace tsbuild {

namespace {

// Each keeps a file open.
constexpr size_t blobsMax = 64;
// About 100 bytes each.
constexpr size_t partsMax = 65536;

struct Place {
  uint64_t offset;
  uint32_t size;
  uint32_t checksum;
};

struct PartKeyHash {
  // Any bytes of a digest do.
  size_t operator()(const PartKey& key) const {
    size_t hash;
    std::memcpy(&hash, key.data(), sizeof hash);
    return hash;
  }
};

}  // namespace

struct BlobParts {
  const std::string engine;
  const Descriptor blob;
  std::unordered_map<PartKey, Place, PartKeyHash> places;
};

namespace {

// Everything in it is used under the mutex, but for the descriptors and engines.
struct Remembered {
  std::mutex mutex;
  // The newest last: it is the likeliest to have what is looked for.
  std::deque<std::shared_ptr<BlobParts>> blobs;
  size_t count = 0;

  void drop(const std::shared_ptr<BlobParts>& parts) {
    const auto at = std::find(blobs.begin(), blobs.end(), parts);
    if (at == blobs.end()) return;
    count -= parts->places.size();
    blobs.erase(at);
  }
};

// Never destroyed: threads may pack while the process exits.
Remembered& remembered() {
  static auto& instance = *new Remembered;
  return instance;
}

int valueOf(char hex) { return hex <= '9' ? hex - '0' : hex - 'a' + 10; }

bool readAll(int file, uint64_t offset, Bytes* out) {
  while (out->size < out->capacity) {
    const ssize_t size = pread(file, out->data.get() + out->size, out->capacity - out->size,
                               static_cast<off_t>(offset + out->size));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return false;
    out->size += static_cast<size_t>(size);
  }
  return true;
}

}  // namespace

PartKey partKeyOf(std::string_view digest) {
  PartKey key;
  const std::string_view hex = digest.substr(digest.size() - 2 * key.size());
  for (size_t i = 0; i < key.size(); i++) {
    key[i] = static_cast<uint8_t>(valueOf(hex[2 * i]) << 4 | valueOf(hex[2 * i + 1]));
  }
  return key;
}

std::optional<EncodedPart> findPart(const std::string& engine, const PartKey& key) {
  std::shared_ptr<BlobParts> parts;
  Place place = {};
  {
    Remembered& all = remembered();
    std::lock_guard<std::mutex> lock(all.mutex);
    for (auto blob = all.blobs.rbegin(); blob != all.blobs.rend() && !parts; ++blob) {
      const auto found = (*blob)->engine == engine ? (*blob)->places.find(key) : (*blob)->places.end();
      if (found == (*blob)->places.end()) continue;
      parts = *blob;
      place = found->second;
    }
  }
  if (!parts) return std::nullopt;
  EncodedPart part = {Bytes(place.size), place.checksum};
  // What cannot be read is compressed again.
  if (!readAll(parts->blob.get(), place.offset, &part.bytes)) return std::nullopt;
  return part;
}

PartsOfBlob::PartsOfBlob(int blob, const std::string& engine)
    : parts_(new BlobParts{engine, Descriptor(fcntl(blob, F_DUPFD_CLOEXEC, 0)), {}}) {
  Remembered& all = remembered();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.blobs.push_back(parts_);
  if (all.blobs.size() > blobsMax) all.drop(std::shared_ptr<BlobParts>(all.blobs.front()));
}

PartsOfBlob::~PartsOfBlob() {
  Remembered& all = remembered();
  std::lock_guard<std::mutex> lock(all.mutex);
  // One without parts would only keep a file open.
  if (!isKept_ || parts_->places.empty()) all.drop(parts_);
}

void PartsOfBlob::add(const PartKey& key, uint64_t offset, uint32_t size, uint32_t checksum) {
  Remembered& all = remembered();
  std::lock_guard<std::mutex> lock(all.mutex);
  while (all.count >= partsMax && all.blobs.front() != parts_) all.drop(std::shared_ptr<BlobParts>(all.blobs.front()));
  const bool isListed = std::find(all.blobs.begin(), all.blobs.end(), parts_) != all.blobs.end();
  if (!isListed || all.count >= partsMax) return;
  if (parts_->places.emplace(key, Place{offset, size, checksum}).second) all.count += 1;
}

}  // namespace tsbuild

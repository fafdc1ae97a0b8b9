#include "recent-parts.h"

#include <fcntl.h>

#include <algorithm>
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

struct DigestHash {
  // Any bytes of a digest do.
  size_t operator()(const RawDigest& digest) const {
    size_t hash;
    std::memcpy(&hash, digest.data(), sizeof hash);
    return hash;
  }
};

}  // namespace

struct RecentBlob {
  const std::string engine;
  const Descriptor file;
  std::unordered_map<RawDigest, PartPlace, DigestHash> places;
};

namespace {

// All of it is used under the mutex, but for the descriptors and engines.
struct Recent {
  std::mutex mutex;
  // The newest last: it is the likeliest to have what is looked for.
  std::deque<std::shared_ptr<RecentBlob>> blobs;
  size_t count = 0;

  void drop(std::shared_ptr<RecentBlob> blob) {
    const auto at = std::find(blobs.begin(), blobs.end(), blob);
    if (at == blobs.end()) return;
    count -= blob->places.size();
    blobs.erase(at);
  }
};

// Never destroyed: threads may pack while the process exits.
Recent& recent() {
  static auto& instance = *new Recent;
  return instance;
}

}  // namespace

std::optional<EncodedPart> findRecentPart(const std::string& engine, const RawDigest& content) {
  std::shared_ptr<RecentBlob> holder;
  PartPlace place;
  {
    Recent& all = recent();
    std::lock_guard<std::mutex> lock(all.mutex);
    for (auto blob = all.blobs.rbegin(); blob != all.blobs.rend() && !holder; ++blob) {
      if ((*blob)->engine != engine) continue;
      const auto found = (*blob)->places.find(content);
      if (found == (*blob)->places.end()) continue;
      holder = *blob;
      place = found->second;
    }
  }
  return holder ? readPart(holder->file.get(), place) : std::nullopt;
}

RecentParts::RecentParts(int blob, const std::string& engine)
    : blob_(new RecentBlob{engine, Descriptor(fcntl(blob, F_DUPFD_CLOEXEC, 0)), {}}) {
  Recent& all = recent();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.blobs.push_back(blob_);
  if (all.blobs.size() > blobsMax) all.drop(all.blobs.front());
}

RecentParts::~RecentParts() {
  Recent& all = recent();
  std::lock_guard<std::mutex> lock(all.mutex);
  // One without parts would only keep a file open.
  if (!isKept_ || blob_->places.empty()) all.drop(blob_);
}

void RecentParts::add(const RawDigest& content, const PartPlace& place) {
  Recent& all = recent();
  std::lock_guard<std::mutex> lock(all.mutex);
  if (std::find(all.blobs.begin(), all.blobs.end(), blob_) == all.blobs.end()) return;
  while (all.count >= partsMax && all.blobs.front() != blob_) all.drop(all.blobs.front());
  if (all.count < partsMax && blob_->places.emplace(content, place).second) all.count += 1;
}

}  // namespace tsbuild

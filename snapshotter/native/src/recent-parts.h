#pragma once

#include <memory>
#include <optional>
#include <string>

#include "encoded-part.h"

namespace tsbuild {

struct RecentBlob;

// A part that this process wrote a short while ago, in whichever blob: a `cp -r` or `chown -R` in a RUN and a COPY from
// another stage make layers of files that an earlier layer has, which may still be being written. Any thread may call it.
// `engine`: Encoding::engine.
std::optional<EncodedPart> findRecentPart(const std::string& engine, const RawDigest& content);

// The parts of a blob that is being written; what is added is found by all from then on. Later too when the blob was
// kept, by another name or none, else no longer than this lives.
class RecentParts {
 public:
  // `blob`: open for reading; it is kept open.
  RecentParts(int blob, const std::string& engine);
  ~RecentParts();
  RecentParts(const RecentParts&) = delete;
  RecentParts& operator=(const RecentParts&) = delete;

  // The compressed bytes are in the file.
  void add(const RawDigest& content, const PartPlace& place);
  void keep() { isKept_ = true; }

 private:
  const std::shared_ptr<RecentBlob> blob_;
  bool isKept_ = false;
};

}  // namespace tsbuild

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "bytes.h"

namespace tsbuild {

// SHA-256 of a content, not as text.
using PartKey = std::array<uint8_t, 32>;
// `digest`: `sha256:<64 hex>`.
PartKey partKeyOf(std::string_view digest);

// A content in compressed form.
struct EncodedPart {
  Bytes bytes;
  // Encoding::checksum of the content.
  uint32_t checksum = 0;
};

struct BlobParts;

// What this process compressed a short while ago, so that no content is compressed twice: a `cp -r` or `chown -R` in a RUN
// and a COPY from another stage make layers of files that an earlier layer has. The bytes are those that compressing
// gives, so digests do not depend on what is found. Any thread may call it. `engine`: Encoding::engine.
std::optional<EncodedPart> findPart(const std::string& engine, const PartKey& key);

// The parts of a blob that is being written; what is added is found by all from then on. Later too when the blob was
// kept, by another name or none, else no longer than this lives.
class PartsOfBlob {
 public:
  // `blob`: open for reading; it is kept open.
  PartsOfBlob(int blob, const std::string& engine);
  ~PartsOfBlob();
  PartsOfBlob(const PartsOfBlob&) = delete;
  PartsOfBlob& operator=(const PartsOfBlob&) = delete;

  // The compressed bytes are in the file.
  void add(const PartKey& key, uint64_t offset, uint32_t size, uint32_t checksum);
  void keep() { isKept_ = true; }

 private:
  const std::shared_ptr<BlobParts> parts_;
  bool isKept_ = false;
};

}  // namespace tsbuild

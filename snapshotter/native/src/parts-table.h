#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "descriptor.h"
#include "encoded-part.h"

namespace tsbuild {

// What any process wrote into the blobs of a state root lately: a RUN or COPY that is done again mostly makes the files that
// it made the time before. A hash table in a file of a fixed size, without locks: an entry that was damaged, overwritten
// by half or whose blob is gone is none. Losing it costs time only, so nothing that goes wrong with it is an error.
class PartsTable {
 public:
  // `path`: the file, made when it is first written to; blobs are `sha256/<hex>` beside it. Empty: no table.
  // `engine`: Encoding::engine.
  PartsTable(std::string path, const std::string& engine);

  // Any thread may call it.
  std::optional<EncodedPart> find(const RawDigest& content) const;

  struct Part {
    RawDigest content;
    PartPlace place;
  };
  // `blob`: `sha256:<hex>`.
  void add(const std::string& blob, const std::vector<Part>& parts);

 private:
  bool open(int flags);
  std::string blobPath(const RawDigest& blob) const;

  const std::string path_;
  const uint64_t engine_;
  Descriptor file_;
};

}  // namespace tsbuild

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "bytes.h"

namespace tsbuild {

// A part is the content of a file, or a piece of one, that is compressed by itself: its compressed form depends on nothing but
// the content and the engine, so it can be taken over from any blob that has it.

// SHA-256, not as text.
using RawDigest = std::array<uint8_t, 32>;
// `digest`: `sha256:<64 hex>`.
RawDigest rawDigestOf(std::string_view digest);

// Where a blob has a part, and what it must be.
struct PartPlace {
  uint64_t offset = 0;
  uint32_t size = 0;
  // Encoding::checksum of the content.
  uint32_t checksum = 0;
  // crc32Of the compressed bytes: a disk may have lost them since.
  uint32_t encodedChecksum = 0;
};

struct EncodedPart {
  Bytes bytes;
  PartPlace place;
};

// Nothing when the blob does not have it there, for whatever reason: then it is compressed again.
std::optional<EncodedPart> readPart(int blob, const PartPlace& place);

}  // namespace tsbuild

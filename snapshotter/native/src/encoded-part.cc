#include "encoded-part.h"

#include <unistd.h>

#include <cerrno>

#include "crc32.h"

namespace tsbuild {

namespace {

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

RawDigest rawDigestOf(std::string_view digest) {
  RawDigest raw;
  const std::string_view hex = digest.substr(digest.size() - 2 * raw.size());
  for (size_t i = 0; i < raw.size(); i++) {
    raw[i] = static_cast<uint8_t>(valueOf(hex[2 * i]) << 4 | valueOf(hex[2 * i + 1]));
  }
  return raw;
}

std::optional<EncodedPart> readPart(int blob, const PartPlace& place) {
  EncodedPart part = {Bytes(place.size), place};
  if (!readAll(blob, place.offset, &part.bytes)) return std::nullopt;
  if (crc32Of(part.bytes.data.get(), part.bytes.size) != place.encodedChecksum) return std::nullopt;
  return part;
}

}  // namespace tsbuild

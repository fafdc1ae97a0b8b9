#include "codec.h"

#include <cstring>

#include "failure.h"

namespace tsbuild {

namespace {

bool startsWith(const uint8_t* start, size_t size, const char* magic, size_t magicSize) {
  return size >= magicSize && std::memcmp(start, magic, magicSize) == 0;
}

bool isZstd(const uint8_t* start, size_t size) {
  if (startsWith(start, size, "\x28\xb5\x2f\xfd", 4)) return true;
  // A skippable frame (RFC 8878, 3.1.2), as seekable formats put first.
  return size >= 4 && (start[0] & 0xf0) == 0x50 && std::memcmp(start + 1, "\x2a\x4d\x18", 3) == 0;
}

}  // namespace

void failDamaged(const char* format, const std::string& reason) {
  failCode("bad-archive", "", std::string("the ") + format + " data is damaged: " + reason);
}

std::unique_ptr<Encoding> newEncoding(const std::string& name, int level) {
  if (name == "gzip") return newGzipEncoding(level);
  if (name == "zstd") return newZstdEncoding(level);
  return nullptr;
}

std::unique_ptr<Decoder> newDecoder(const std::string& name, const uint8_t* start, size_t size) {
  if (name == "gzip") return newGzipDecoder();
  if (name == "zstd") return newZstdDecoder();
  if (name == "uncompressed") return nullptr;
  if (startsWith(start, size, "\x1f\x8b", 2)) return newGzipDecoder();
  if (isZstd(start, size)) return newZstdDecoder();
  if (startsWith(start, size, "BZh", 3)) return newBzip2Decoder();
  if (startsWith(start, size, "\xfd" "7zXZ\0", 6)) return newXzDecoder();
  return nullptr;
}

}  // namespace tsbuild

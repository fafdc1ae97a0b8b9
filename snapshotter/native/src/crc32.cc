#include "crc32.h"

#include <zlib.h>

#include "isal.h"

namespace tsbuild {

uint32_t crc32Of(const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
#if TSBUILD_ISAL
  // The same as zlib's, several times as fast.
  return crc32_gzip_refl(0, bytes, size);
#else
  return static_cast<uint32_t>(crc32(0, bytes, static_cast<uInt>(size)));
#endif
}

uint32_t crc32OfBoth(uint32_t first, uint32_t second, size_t size) {
  return static_cast<uint32_t>(crc32_combine64(first, second, static_cast<z_off64_t>(size)));
}

}  // namespace tsbuild

#pragma once

#include <cstddef>
#include <cstdint>

namespace tsbuild {

// The sum of RFC 1952, 8.
uint32_t crc32Of(const void* data, size_t size);
// That of two stretches, one after the other; `size`: of the second.
uint32_t crc32OfBoth(uint32_t first, uint32_t second, size_t size);

}  // namespace tsbuild

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace tsbuild {

// Bytes that somebody else holds.
struct ByteSpan {
  const uint8_t* data;
  size_t size;
};

// A buffer that is not cleared when made, unlike std::vector's.
struct Bytes {
  Bytes() = default;
  explicit Bytes(size_t capacityBytes)
      : data(new uint8_t[capacityBytes]), capacity(capacityBytes) {}

  std::unique_ptr<uint8_t[]> data;
  size_t size = 0;
  size_t capacity = 0;
};

// A copy that takes no more room than it needs.
inline Bytes copyOf(const uint8_t* data, size_t size) {
  Bytes out(size);
  std::copy(data, data + size, out.data.get());
  out.size = size;
  return out;
}

using SharedBytes = std::shared_ptr<const Bytes>;

}  // namespace tsbuild

#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "bytes.h"

namespace tsbuild {

// Large buffers, used again and again: given back to malloc they stay in the arena of whichever thread was last, so
// that the process grows with the number of threads and layers instead of with the queues, or go back to the kernel,
// which clears each page anew.
class Buffers : public std::enable_shared_from_this<Buffers> {
 public:
  // One of at least `size` bytes; as many, when that is a power of two from 32 KiB on. Smaller ones are malloc's.
  Bytes take(size_t size) {
    if (size < smallest) return Bytes(size);
    const unsigned kind = kindOf(size);
    std::lock_guard<std::mutex> lock(mutex_);
    auto& spare = spare_[kind];
    if (spare.empty()) return Bytes(smallest << kind);
    Bytes buffer = std::move(spare.back());
    spare.pop_back();
    spareSize_ -= buffer.capacity;
    return buffer;
  }

  void giveBack(Bytes buffer) {
    const size_t capacity = buffer.capacity;
    if (capacity < smallest) return;
    const unsigned kind = kindOf(capacity);
    // It came from elsewhere.
    if (capacity != smallest << kind) return;
    buffer.size = 0;
    std::lock_guard<std::mutex> lock(mutex_);
    if (spareSize_ + capacity > spareSizeMax) return;
    spareSize_ += capacity;
    spare_[kind].push_back(std::move(buffer));
  }

  // Comes back when nobody has it any more.
  std::shared_ptr<Bytes> share(size_t size) {
    return std::shared_ptr<Bytes>(new Bytes(take(size)), [self = shared_from_this()](Bytes* used) {
      self->giveBack(std::move(*used));
      delete used;
    });
  }

 private:
  static constexpr size_t smallest = 32 * 1024;
  // More than all queues hold at a time, unless files of very different sizes come one after the other.
  static constexpr size_t spareSizeMax = 48 * 1024 * 1024;

  static unsigned kindOf(size_t size) {
    unsigned kind = 0;
    while (smallest << kind < size) kind += 1;
    return kind;
  }

  std::mutex mutex_;
  std::vector<Bytes> spare_[64 - 15];
  size_t spareSize_ = 0;
};

}  // namespace tsbuild

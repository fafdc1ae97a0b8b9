#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "bytes.h"

namespace tsbuild {

// Buffers of one size, used again and again: given back to malloc they stay in the arena of whichever thread was last, so
// that the process grows with the number of threads and layers instead of with the queues, or go back to the kernel,
// which clears each page anew.
class Buffers : public std::enable_shared_from_this<Buffers> {
 public:
  explicit Buffers(size_t capacity) : capacity_(capacity) {}

  Bytes take() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (spare_.empty()) return Bytes(capacity_);
    Bytes buffer = std::move(spare_.back());
    spare_.pop_back();
    return buffer;
  }

  // One of another size is only freed.
  void giveBack(Bytes buffer) {
    if (buffer.capacity != capacity_) return;
    buffer.size = 0;
    std::lock_guard<std::mutex> lock(mutex_);
    spare_.push_back(std::move(buffer));
  }

  // Comes back when nobody has it any more.
  std::shared_ptr<Bytes> share() {
    return std::shared_ptr<Bytes>(new Bytes(take()), [self = shared_from_this()](Bytes* used) {
      self->giveBack(std::move(*used));
      delete used;
    });
  }

 private:
  const size_t capacity_;
  std::mutex mutex_;
  std::vector<Bytes> spare_;
};

}  // namespace tsbuild

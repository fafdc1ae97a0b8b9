#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>

#include "failure.h"

namespace tsbuild {

// Set once, from any thread; loops ask `check`, waits are ended by what they subscribe.
class Cancellation {
 public:
  bool requested() const { return requested_.load(std::memory_order_relaxed); }

  void check() const {
    if (requested()) failCode("aborted", "", "it was cancelled");
  }

  void request() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (requested_.exchange(true)) return;
    for (auto& wake : subscribers_) wake();
  }

  // Calls `wake` once when cancelled (at once if that was before), until destroyed.
  class Subscription {
   public:
    Subscription(Cancellation& owner, std::function<void()> wake) : owner_(owner) {
      std::lock_guard<std::mutex> lock(owner_.mutex_);
      if (owner_.requested()) wake();
      at_ = owner_.subscribers_.insert(owner_.subscribers_.end(), std::move(wake));
    }
    ~Subscription() {
      std::lock_guard<std::mutex> lock(owner_.mutex_);
      owner_.subscribers_.erase(at_);
    }
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

   private:
    Cancellation& owner_;
    std::list<std::function<void()>>::iterator at_;
  };

 private:
  std::atomic<bool> requested_{false};
  std::mutex mutex_;
  std::list<std::function<void()>> subscribers_;
};

using CancellationPtr = std::shared_ptr<Cancellation>;

}  // namespace tsbuild

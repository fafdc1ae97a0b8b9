#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace tsbuild {

// Thrown by a wait that was ended because another thread of the group failed.
struct Stopped {};

// Threads to use for work that is bound by the processor. TSBUILD_NATIVE_THREADS overrides it (tests of determinism).
unsigned processorThreads();

// Passes values between two stages; `push` waits while full, so memory stays bounded.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  void push(T value) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return stopped_ || values_.size() < capacity_; });
    if (stopped_) throw Stopped{};
    values_.push_back(std::move(value));
    changed_.notify_all();
  }

  // Nothing when the producer is done.
  std::optional<T> pop() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return stopped_ || done_ || !values_.empty(); });
    if (stopped_) throw Stopped{};
    if (values_.empty()) return std::nullopt;
    T value = std::move(values_.front());
    values_.pop_front();
    changed_.notify_all();
    return value;
  }

  // The producer's last word.
  void finish() {
    std::lock_guard<std::mutex> lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }

  // Ends every wait, now and later, with Stopped.
  void stop() {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

 private:
  const size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> values_;
  bool done_ = false;
  bool stopped_ = false;
};

// Threads that fail together: the first exception stops the others and is rethrown by `join`.
class ThreadGroup {
 public:
  // `stop` must end every wait of the group's threads; it may be called more than once.
  explicit ThreadGroup(std::function<void()> stop) : stop_(std::move(stop)) {}
  ~ThreadGroup();
  ThreadGroup(const ThreadGroup&) = delete;
  ThreadGroup& operator=(const ThreadGroup&) = delete;

  void start(std::function<void()> work);
  void join();

 private:
  void joinAll();

  std::function<void()> stop_;
  std::mutex mutex_;
  std::exception_ptr first_;
  std::vector<std::thread> threads_;
};

// Runs `work` on up to `count` threads, the calling one included, and waits for all of them.
void runOnThreads(unsigned count, const std::function<void()>& work);

}  // namespace tsbuild

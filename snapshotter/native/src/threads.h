#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace tsbuild {

// Thrown by a wait that was ended because another thread of the group failed.
struct Stopped {};

// Threads to use for work that is bound by the processor. TSBUILD_NATIVE_THREADS overrides it (tests of determinism).
unsigned processorThreads();

// Passes values between two stages; `push` waits while full, so memory stays bounded. One thread pushes: of several that wait
// the one that is woken might have no room still, and the others would sleep on.
template <typename T>
class BoundedQueue {
 public:
  // In whatever values are weighed in. One value is taken however heavy it is.
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  void push(T value, size_t weight = 1) {
    pushQuietly(std::move(value), weight);
    hasValue_.notify_one();
  }

  // Nobody who waits for a value hears of it before `wake`, which is to be called before anything that may wait.
  void pushQuietly(T value, size_t weight) {
    std::unique_lock<std::mutex> lock(mutex_);
    hasRoom_.wait(lock, [&] { return stopped_ || hasRoomLocked(weight); });
    if (stopped_) throw Stopped{};
    values_.push_back({std::move(value), weight});
    weight_ += weight;
  }

  void wake() { hasValue_.notify_all(); }

  // Whether a push would not wait.
  bool hasRoom(size_t weight) {
    std::lock_guard<std::mutex> lock(mutex_);
    return hasRoomLocked(weight);
  }

  // Nothing when the producer is done.
  std::optional<T> pop() {
    std::unique_lock<std::mutex> lock(mutex_);
    hasValue_.wait(lock, [&] { return stopped_ || done_ || !values_.empty(); });
    if (stopped_) throw Stopped{};
    if (values_.empty()) return std::nullopt;
    auto [value, weight] = std::move(values_.front());
    values_.pop_front();
    weight_ -= weight;
    hasRoom_.notify_one();
    return std::move(value);
  }

  // The producer's last word.
  void finish() {
    std::lock_guard<std::mutex> lock(mutex_);
    done_ = true;
    hasValue_.notify_all();
  }

  // Ends every wait, now and later, with Stopped.
  void stop() {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    hasValue_.notify_all();
    hasRoom_.notify_all();
  }

 private:
  bool hasRoomLocked(size_t weight) const { return values_.empty() || weight_ + weight <= capacity_; }

  const size_t capacity_;
  std::mutex mutex_;
  std::condition_variable hasRoom_;
  std::condition_variable hasValue_;
  std::deque<std::pair<T, size_t>> values_;
  size_t weight_ = 0;
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

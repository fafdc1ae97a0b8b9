#include "threads.h"

#include <algorithm>
#include <cstdlib>

namespace tsbuild {

unsigned processorThreads() {
  if (const char* given = std::getenv("TSBUILD_NATIVE_THREADS")) {
    const long count = std::strtol(given, nullptr, 10);
    if (count >= 1 && count <= 256) return static_cast<unsigned>(count);
  }
  return std::clamp(std::thread::hardware_concurrency(), 1u, 16u);
}

ThreadGroup::~ThreadGroup() {
  if (threads_.empty()) return;
  stop_();
  joinAll();
}

void ThreadGroup::start(std::function<void()> work) {
  threads_.emplace_back([this, work = std::move(work)] {
    try {
      work();
    } catch (const Stopped&) {
      // Whoever stopped this thread carries the reason.
    } catch (...) {
      {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!first_) first_ = std::current_exception();
      }
      stop_();
    }
  });
}

void ThreadGroup::joinAll() {
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void ThreadGroup::join() {
  joinAll();
  if (first_) std::rethrow_exception(first_);
}

void runOnThreads(unsigned count, const std::function<void()>& work) {
  ThreadGroup group([] {});
  for (unsigned i = 1; i < count; i++) group.start(work);
  std::exception_ptr own;
  try {
    work();
  } catch (...) {
    own = std::current_exception();
  }
  group.join();
  if (own) std::rethrow_exception(own);
}

}  // namespace tsbuild

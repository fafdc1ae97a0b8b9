#include <napi.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <vector>

#include "copy-file.h"
#include "extract-js.h"
#include "failure.h"
#include "families.h"
#include "job.h"
#include "pack-items.h"
#include "path-bytes.h"
#include "resolve.h"
#include "source-files.h"
#include "threads.h"

namespace tsbuild {

namespace {

// What is handed to a thread at once, as most files are small. It bounds the open descriptors, too.
constexpr size_t handedFilesMax = 16;
constexpr uint64_t handedBytesMax = 512 * 1024;
constexpr size_t waitingMax = 4;

// A file that was made and has no bytes yet.
struct EmptyFile {
  // Among the items of its batch.
  size_t index;
  Descriptor file;
};
using EmptyFiles = std::vector<EmptyFile>;

// Of several threads' failures the one that a single thread would have met.
class FirstFailure {
 public:
  bool isBefore(size_t index) const { return index_.load() < index; }

  void set(size_t index) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (index >= index_.load()) return;
    failure_ = std::current_exception();
    index_ = index;
  }

  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::mutex mutex_;
  std::atomic<size_t> index_{SIZE_MAX};
  std::exception_ptr failure_;
};

// Makes the directory of a layer, or changes a tree by it, out of the entries that its tar is packed of: what unpacking
// that tar would make, because the same Extractor makes it, with the bytes copied from where they lie, or the files moved
// from there. One thread makes everything in order, others copy the bytes.
class LayerMaker {
 public:
  LayerMaker(const ExtractSettings& settings, bool movesFiles, CancellationPtr cancellation)
      : movesFiles_(movesFiles), cancellation_(std::move(cancellation)), extractor_(settings, *cancellation_) {}

  void add(const std::vector<PackItem>& items) {
    FirstFailure failure;
    BoundedQueue<EmptyFiles> waiting(waitingMax);
    ThreadGroup group([&] { waiting.stop(); });
    const size_t threads = movesFiles_ ? 0 : std::min<size_t>(processorThreads(), items.size());
    for (size_t i = 0; i < threads; i++) {
      group.start([&] {
        while (const auto files = waiting.pop()) fillAll(*files, items, failure);
      });
    }
    try {
      makeAll(items, waiting, failure);
      waiting.finish();
    } catch (const Stopped&) {
      // `join` throws what stopped it.
    }
    group.join();
    failure.rethrow();
  }

  std::vector<Skipped> finish() {
    extractor_.finish();
    return extractor_.skipped();
  }

 private:
  void makeAll(const std::vector<PackItem>& items, BoundedQueue<EmptyFiles>& waiting, FirstFailure& failure) {
    EmptyFiles files;
    uint64_t bytes = 0;
    for (size_t i = 0; i < items.size() && !failure.isBefore(i); i++) {
      const PackItem& item = items[i];
      try {
        cancellation_->check();
        if (movesFiles_ && item.entry.type == EntryType::file) {
          const Descriptor from = sources_.openParent(item);
          extractor_.move(item.entry, from.get(), std::string(splitPath(item.sourcePath).base));
          continue;
        }
        if (item.entry.type != EntryType::file || !item.entry.xattrs.empty()) {
          extractor_.apply(item.entry, [&](int file) { fill(item, file); });
          continue;
        }
        files.push_back({i, extractor_.create(item.entry)});
      } catch (const Failure&) {
        failure.set(i);
      }
      bytes += item.entry.size;
      if (files.size() < handedFilesMax && bytes < handedBytesMax) continue;
      waiting.push(std::move(files));
      files.clear();
      bytes = 0;
    }
    waiting.push(std::move(files));
  }

  void fillAll(const EmptyFiles& files, const std::vector<PackItem>& items, FirstFailure& failure) {
    for (const auto& [index, file] : files) {
      if (failure.isBefore(index)) return;
      try {
        cancellation_->check();
        fill(items[index], file.get());
        extractor_.complete(file.get(), items[index].entry);
      } catch (const Failure&) {
        failure.set(index);
      }
    }
  }

  void fill(const PackItem& item, int file) {
    if (item.sourceRoot.empty()) {
      writeBytes(file, item.content.data.get(), item.content.size, item.entry.path);
      return;
    }
    const Descriptor source = sources_.open(item);
    copyFileBytes(source.get(), file, item.entry.size, item.sourcePath, *cancellation_);
    struct stat stat;
    if (fstat(source.get(), &stat) != 0) failErrno("fstat", item.sourcePath);
    if (static_cast<uint64_t>(stat.st_size) != item.entry.size) failChanged(item, "changed its size");
  }

  const bool movesFiles_;
  const CancellationPtr cancellation_;
  Extractor extractor_;
  SourceFiles sources_;
};

// createMaker(root, whiteouts, userXattr, withOwners, movesFiles, cancellation) -> { add(batch): promise, finish(): promise }
// One call at a time.
Napi::Value createMaker(const Napi::CallbackInfo& info) {
  ExtractSettings settings;
  settings.root = pathFromJs(info[0]);
  settings.whiteouts = whiteoutsFromJs(info[1]);
  settings.userXattr = info[2].As<Napi::Boolean>();
  settings.withOwners = info[3].As<Napi::Boolean>();
  settings.withDevices = true;
  const bool movesFiles = info[4].As<Napi::Boolean>();
  const auto cancellation = cancellationFromJs(info[5]);
  return callNow(info, [&]() -> Napi::Value {
    const auto maker = std::make_shared<LayerMaker>(settings, movesFiles, cancellation);
    auto out = Napi::Object::New(info.Env());
    out.Set("add", Napi::Function::New(info.Env(), [maker, cancellation](const Napi::CallbackInfo& call) -> Napi::Value {
              const auto items = std::make_shared<std::vector<PackItem>>(packItemsFromJs(call[0].As<Napi::Object>()));
              return runJob(call.Env(), cancellation, [maker, items]() -> Delivery {
                maker->add(*items);
                return [](Napi::Env env) { return env.Undefined(); };
              });
            }));
    out.Set("finish", Napi::Function::New(info.Env(), [maker, cancellation](const Napi::CallbackInfo& call) -> Napi::Value {
              return runJob(call.Env(), cancellation, [maker]() -> Delivery {
                const auto skipped = maker->finish();
                return [skipped](Napi::Env env) { return skippedToJs(env, skipped); };
              });
            }));
    return out;
  });
}

}  // namespace

void defineMaker(Napi::Env env, Napi::Object exports) {
  exports.Set("createMaker", Napi::Function::New(env, createMaker, "createMaker"));
}

}  // namespace tsbuild

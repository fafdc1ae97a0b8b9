#include <fcntl.h>

#include <condition_variable>
#include <deque>
#include <mutex>

#include "descriptor.h"
#include "families.h"
#include "job.h"
#include "path-bytes.h"
#include "resolve.h"
#include "threads.h"
#include "tree-reader.h"

namespace tsbuild {

namespace {

struct Directory {
  std::string path;
  std::vector<Child> children;
  // One for each child that is a directory on this filesystem, in the order of the children; null for a mount point.
  std::vector<Directory*> below;
};

// Reads a tree with several threads. No descriptor is kept for a directory that waits, so neither a wide nor a deep
// tree can use them up; each is opened again from the root.
class TreeScan {
 public:
  TreeScan(int root, bool withXattrs, size_t entriesMax, const Cancellation& cancellation)
      : root_(root), withXattrs_(withXattrs), entriesMax_(entriesMax), cancellation_(cancellation) {}

  // The root's directory; the tree hangs below it. Null when there is more in it than `entriesMax`.
  const Directory* run() {
    struct statx stat;
    if (statx(root_, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stat) != 0) failErrno("statx", "");
    deviceMajor_ = stat.stx_dev_major;
    deviceMinor_ = stat.stx_dev_minor;
    cancellation_.check();
    Directory& root = all_.emplace_back();
    busy_ = 1;
    read(root);
    done(root);
    // What a step writes is mostly a file or two: threads would take longer to start than that to read.
    if (!waiting_.empty() && found_ <= entriesMax_) runOnThreads(processorThreads(), [this] { work(); });
    return found_ > entriesMax_ ? nullptr : &root;
  }

 private:
  void work() {
    try {
      for (Directory* next = take(); next != nullptr; next = take()) {
        cancellation_.check();
        read(*next);
        done(*next);
      }
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex_);
      failed_ = true;
      changed_.notify_all();
      throw;
    }
  }

  // Nothing when that would be more than is wanted.
  void read(Directory& directory) {
    Descriptor opened;
    std::vector<std::string> names;
    if (!readNames(root_, directory.path, &opened, &names)) return;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      found_ += names.size();
      if (found_ > entriesMax_) return;
    }
    directory.children = statChildren(opened.get(), directory.path, {names.begin(), names.end()}, withXattrs_);
  }

  Directory* take() {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto isEnded = [this] { return failed_ || found_ > entriesMax_; };
    changed_.wait(lock, [&] { return isEnded() || busy_ == 0 || !waiting_.empty(); });
    if (isEnded() || waiting_.empty()) return nullptr;
    Directory* next = waiting_.back();
    waiting_.pop_back();
    busy_ += 1;
    return next;
  }

  void done(Directory& directory) {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& child : directory.children) {
      if (!child.isDirectory()) continue;
      const bool mounted =
          child.stat.stx_dev_major != deviceMajor_ || child.stat.stx_dev_minor != deviceMinor_;
      directory.below.push_back(nullptr);
      if (mounted) continue;
      Directory& below = all_.emplace_back();
      below.path = joinPath(directory.path, child.name);
      directory.below.back() = &below;
      waiting_.push_back(&below);
    }
    busy_ -= 1;
    changed_.notify_all();
  }

  const int root_;
  const bool withXattrs_;
  const size_t entriesMax_;
  const Cancellation& cancellation_;
  uint32_t deviceMajor_ = 0;
  uint32_t deviceMinor_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Owns every directory: freeing them needs no recursion, however deep the tree is.
  std::deque<Directory> all_;
  std::vector<Directory*> waiting_;
  size_t busy_ = 0;
  size_t found_ = 0;
  bool failed_ = false;
};

// Parents first, siblings by name: the order of path components.
void addTree(Columns& columns, const Directory& root) {
  struct Place {
    const Directory* directory;
    size_t child = 0;
    size_t below = 0;
  };
  std::vector<Place> stack = {{&root}};
  while (!stack.empty()) {
    Place& place = stack.back();
    if (place.child == place.directory->children.size()) {
      stack.pop_back();
      continue;
    }
    const Child& child = place.directory->children[place.child++];
    addScanned(columns, child, joinPath(place.directory->path, child.name));
    if (!child.isDirectory()) continue;
    const Directory* below = place.directory->below[place.below++];
    if (below != nullptr) stack.push_back({below});
  }
}

// scanTree(root, withXattrs, entriesMax, cancellation) -> columns, or null when there is more
Napi::Value scanTree(const Napi::CallbackInfo& info) {
  const std::string root = pathFromJs(info[0]);
  const bool withXattrs = info[1].As<Napi::Boolean>();
  const double entriesMax = info[2].As<Napi::Number>();
  const auto cancellation = cancellationFromJs(info[3]);
  return runJob(info.Env(), cancellation, [=]() -> Delivery {
    const Descriptor top = openRoot(root);
    TreeScan scan(top.get(), withXattrs, static_cast<size_t>(entriesMax), *cancellation);
    const Directory* tree = scan.run();
    if (tree == nullptr) return [](Napi::Env env) { return env.Null(); };
    auto columns = std::make_shared<Columns>();
    addTree(*columns, *tree);
    return [columns](Napi::Env env) { return columns->toJs(env); };
  });
}

}  // namespace

void defineScan(Napi::Env env, Napi::Object exports) {
  exports.Set("scanTree", Napi::Function::New(env, scanTree, "scanTree"));
}

}  // namespace tsbuild

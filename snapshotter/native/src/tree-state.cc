#include <fcntl.h>
#include <napi.h>
#include <sys/stat.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <unordered_set>

#include "directory.h"
#include "families.h"
#include "job.h"
#include "path-bytes.h"
#include "resolve.h"
#include "sha256.h"
#include "threads.h"
#include "tree-reader.h"

namespace tsbuild {

namespace {

// What stat tells of an entry that changes when its content or its metadata does. A directory's times and size are
// left out: they change with what is in it, which is looked at itself, or is skipped.
struct EntryState {
  uint64_t mode;
  uint64_t uid, gid;
  uint64_t device, inode;
  uint64_t size = 0, links = 0, rdev = 0;
  int64_t mtimeSec = 0, mtimeNsec = 0, ctimeSec = 0, ctimeNsec = 0;

  explicit EntryState(const struct statx& stat)
      : mode(stat.stx_mode),
        uid(stat.stx_uid),
        gid(stat.stx_gid),
        device(static_cast<uint64_t>(stat.stx_dev_major) << 32 | stat.stx_dev_minor),
        inode(stat.stx_ino) {
    if (S_ISDIR(stat.stx_mode)) return;
    size = stat.stx_size;
    links = stat.stx_nlink;
    rdev = static_cast<uint64_t>(stat.stx_rdev_major) << 32 | stat.stx_rdev_minor;
    mtimeSec = stat.stx_mtime.tv_sec;
    mtimeNsec = stat.stx_mtime.tv_nsec;
    ctimeSec = stat.stx_ctime.tv_sec;
    ctimeNsec = stat.stx_ctime.tv_nsec;
  }
};
static_assert(sizeof(EntryState) == 12 * 8, "hashed as it is: no padding");

// A tree without its contents in one digest: equal while nobody changes anything. Directories are read side by
// side; the digest is of all of them sorted by path, so it does not depend on the threads.
class StateWalk {
 public:
  StateWalk(int root, const std::vector<std::string>& skips, const Cancellation& cancellation)
      : root_(root), skips_(skips.begin(), skips.end()), cancellation_(cancellation) {}

  void add(const std::string& path) {
    const Descriptor entry = openBeneath(root_, path, O_PATH | O_NOFOLLOW);
    if (!entry) failErrno("open", path);
    struct statx stat;
    if (statx(entry.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stat) != 0) failErrno("statx", path);
    // A context is read through to its end, so links are followed by whoever reads it; here they are not.
    if (S_ISLNK(stat.stx_mode)) failErrno("open", path, ELOOP);
    std::string record;
    append(record, stat, &newestSec_);
    states_.emplace_back(path, record);
    if (S_ISDIR(stat.stx_mode)) waiting_.push_back(path);
  }

  std::string run() {
    runOnThreads(processorThreads(), [this] { work(); });
    std::sort(states_.begin(), states_.end());
    Sha256 hash;
    for (const auto& [path, state] : states_) {
      const uint64_t sizes[] = {path.size(), state.size()};
      hash.update(sizes, sizeof(sizes));
      hash.update(path.data(), path.size());
      hash.update(state.data(), state.size());
    }
    return hash.finish();
  }

  int64_t newestSec() const { return newestSec_; }

 private:
  void work() {
    try {
      std::string path;
      while (take(&path)) {
        cancellation_.check();
        readOne(path);
      }
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex_);
      failed_ = true;
      changed_.notify_all();
      throw;
    }
  }

  bool take(std::string* path) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return failed_ || busy_ == 0 || !waiting_.empty(); });
    if (failed_ || waiting_.empty()) return false;
    *path = std::move(waiting_.back());
    waiting_.pop_back();
    busy_ += 1;
    return true;
  }

  void readOne(const std::string& path) {
    const Descriptor directory = openBeneath(root_, path, O_RDONLY | O_DIRECTORY);
    if (!directory) failErrno("open", path);
    std::vector<std::string> names;
    const bool read = readDirectory(directory.get(), [&](std::string_view name, unsigned char) {
      names.emplace_back(name);
    });
    if (!read) failErrno("getdents64", path);
    std::sort(names.begin(), names.end());
    std::vector<std::string> below;
    std::string record;
    int64_t newestSec = 0;
    for (const auto& name : names) {
      const std::string child = joinPath(path, name);
      struct statx stat;
      if (statx(directory.get(), name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
                STATX_BASIC_STATS, &stat) != 0) {
        failErrno("statx", child);
      }
      record += name;
      record += '\0';
      const bool isSkipped = S_ISDIR(stat.stx_mode) && skips_.count(child) > 0;
      record += isSkipped ? 's' : 'e';
      if (isSkipped) continue;
      append(record, stat, &newestSec);
      if (S_ISDIR(stat.stx_mode)) below.push_back(child);
    }
    Sha256 hash;
    hash.update(record.data(), record.size());
    done(path, hash.finish(), std::move(below), newestSec);
  }

  static void append(std::string& record, const struct statx& stat, int64_t* newestSec) {
    const EntryState state(stat);
    record.append(reinterpret_cast<const char*>(&state), sizeof(state));
    *newestSec = std::max(*newestSec, state.ctimeSec);
  }

  void done(const std::string& path, std::string state, std::vector<std::string> below, int64_t newestSec) {
    std::lock_guard<std::mutex> lock(mutex_);
    states_.emplace_back(path, std::move(state));
    waiting_.insert(waiting_.end(), std::make_move_iterator(below.begin()), std::make_move_iterator(below.end()));
    newestSec_ = std::max(newestSec_, newestSec);
    busy_ -= 1;
    changed_.notify_all();
  }

  const int root_;
  const std::unordered_set<std::string> skips_;
  const Cancellation& cancellation_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> waiting_;
  std::vector<std::pair<std::string, std::string>> states_;
  int64_t newestSec_ = 0;
  size_t busy_ = 0;
  bool failed_ = false;
};

// treeState(root, path, skips joined, cancellation) -> { state: digest, newestSec }
Napi::Value treeState(const Napi::CallbackInfo& info) {
  const std::string root = pathFromJs(info[0]);
  const std::string path = pathFromJs(info[1]);
  const auto skips = std::make_shared<std::vector<std::string>>(splitList(pathFromJs(info[2])));
  const auto cancellation = cancellationFromJs(info[3]);
  return runJob(info.Env(), cancellation, [=]() -> Delivery {
    const Descriptor top = openRoot(root);
    StateWalk walk(top.get(), *skips, *cancellation);
    walk.add(path);
    const std::string state = walk.run();
    const auto newestSec = static_cast<double>(walk.newestSec());
    return [state, newestSec](Napi::Env env) {
      auto out = Napi::Object::New(env);
      out.Set("state", state);
      out.Set("newestSec", newestSec);
      return out;
    };
  });
}

}  // namespace

void defineTreeState(Napi::Env env, Napi::Object exports) {
  exports.Set("treeState", Napi::Function::New(env, treeState, "treeState"));
}

}  // namespace tsbuild

#include "remove.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <vector>

#include "directory.h"
#include "resolve.h"
#include "tree-reader.h"

namespace tsbuild {

namespace {

constexpr uint64_t resolveChild = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
// Deeper levels close the descriptors above them, so that the depth of a tree is not limited by RLIMIT_NOFILE.
constexpr size_t openLevelsMax = 64;

struct Level {
  std::string name;
  Descriptor fd;
  std::vector<std::string> subdirs;
};

class Removal {
 public:
  Removal(int dirfd, std::string_view path, const Cancellation& cancellation)
      : dirfd_(dirfd), path_(path), cancellation_(cancellation) {}

  void run(const std::string& name) {
    if (unlinkChild(dirfd_, name)) return;
    try {
      removeTree(name);
    } catch (const Gone&) {
      // What another process removes at the same time, from the top, leaves nothing to do.
    }
  }

 private:
  // A directory above has been removed.
  struct Gone {};

  void removeTree(const std::string& name) {
    enter(name);
    while (!stack_.empty()) {
      cancellation_.check();
      Level& level = stack_.back();
      if (level.subdirs.empty()) {
        leave();
        continue;
      }
      const std::string next = std::move(level.subdirs.back());
      level.subdirs.pop_back();
      enter(next);
    }
  }

  // True when nothing of that name is left; false for a directory.
  bool unlinkChild(int dirfd, const std::string& name) {
    if (unlinkat(dirfd, name.c_str(), 0) == 0 || errno == ENOENT) return true;
    if (errno == EISDIR) return false;
    const int error = errno;
    // The directory that holds the tree is not ours to change.
    const bool isInTree = dirfd != dirfd_;
    if (error == EACCES && isInTree && fchmod(dirfd, 0700) == 0 && unlinkat(dirfd, name.c_str(), 0) == 0) return true;
    // As EACCES, on filesystems that answer EPERM for a directory (POSIX allows it).
    struct stat stat;
    if (fstatat(dirfd, name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(stat.st_mode)) return false;
    fail("unlink", name, error);
  }

  // Opens a directory, removes what is no directory in it, and remembers the rest.
  void enter(const std::string& name) {
    Level level;
    level.name = name;
    const int parent = topDescriptor();
    level.fd.reset(openat2At(parent, name.c_str(), O_RDONLY | O_DIRECTORY, resolveChild));
    if (!level.fd && errno == EACCES && fchmodat(parent, name.c_str(), 0700, AT_SYMLINK_NOFOLLOW) == 0) {
      level.fd.reset(openat2At(parent, name.c_str(), O_RDONLY | O_DIRECTORY, resolveChild));
    }
    if (!level.fd) {
      if (errno == ENOENT) return;
      fail("open", name, errno);
    }
    stack_.push_back(std::move(level));
    sweep(stack_.back());
    if (stack_.size() > openLevelsMax) stack_[stack_.size() - openLevelsMax - 1].fd.reset();
  }

  void sweep(Level& level) {
    std::vector<std::string> others;
    const bool read = readDirectory(level.fd.get(), [&](std::string_view name, unsigned char type) {
      (type == DT_DIR ? level.subdirs : others).emplace_back(name);
    });
    // Another process has removed it since it was opened.
    if (!read && errno != ENOENT) fail("getdents64", "", errno);
    for (auto& name : others) {
      if (!unlinkChild(level.fd.get(), name)) level.subdirs.push_back(std::move(name));
    }
  }

  void leave() {
    const std::string name = std::move(stack_.back().name);
    stack_.pop_back();
    const int parent = topDescriptor();
    if (unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return;
    if (errno == EACCES && parent != dirfd_ && fchmod(parent, 0700) == 0 && unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0) return;
    fail("rmdir", name, errno);
  }

  int topDescriptor() {
    if (stack_.empty()) return dirfd_;
    Level& top = stack_.back();
    if (!top.fd) {
      top.fd = openBeneath(dirfd_, levelsPath(), O_RDONLY | O_DIRECTORY);
      if (!top.fd && errno == ENOENT) throw Gone();
      if (!top.fd) fail("open", "", errno);
    }
    return top.fd.get();
  }

  std::string levelsPath() const {
    std::string out;
    for (const auto& level : stack_) {
      if (!out.empty()) out += '/';
      out += level.name;
    }
    return out;
  }

  [[noreturn]] void fail(const char* syscall, const std::string& name, int error) const {
    // The first level is `path_` itself.
    std::string at(path_);
    for (size_t i = 1; i < stack_.size(); i++) at += "/" + stack_[i].name;
    if (!stack_.empty() && !name.empty()) at += "/" + name;
    failErrno(syscall, at, error);
  }

  const int dirfd_;
  const std::string path_;
  const Cancellation& cancellation_;
  std::vector<Level> stack_;
};

}  // namespace

void removeAt(int dirfd, const std::string& name, std::string_view path, const Cancellation& cancellation) {
  Removal(dirfd, path, cancellation).run(name);
}

}  // namespace tsbuild

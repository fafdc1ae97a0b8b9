#include "copy-tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <map>
#include <vector>

#include "copy-file.h"
#include "resolve.h"
#include "tree-reader.h"

namespace tsbuild {

namespace {

class TreeCopy {
 public:
  TreeCopy(int source, int dest, const Cancellation& cancellation)
      : source_(source), dest_(dest), cancellation_(cancellation) {}

  void run() {
    Child root;
    root.name = ".";
    if (statx(source_, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &root.stat) != 0) failErrno("statx", "");
    root.xattrs = listXattrsAt(source_, ".", "");
    deviceMajor_ = root.stat.stx_dev_major;
    deviceMinor_ = root.stat.stx_dev_minor;
    std::vector<Place> stack;
    stack.push_back(enter(std::move(root), ""));
    // No descriptor is kept for the levels above, so the depth of the tree is not limited by their number.
    while (!stack.empty()) {
      cancellation_.check();
      Place& place = stack.back();
      if (place.next == place.children.size()) {
        leave(place);
        stack.pop_back();
        continue;
      }
      Child child = std::move(place.children[place.next++]);
      if (child.isDirectory()) {
        std::string path = joinPath(place.path, child.name);
        stack.push_back(enter(std::move(child), std::move(path)));
      } else {
        copyChild(place, child);
      }
    }
  }

 private:
  struct Place {
    Child self;
    std::string path;
    std::vector<Child> children;
    size_t next = 0;
    // Of the directory being filled; opened again after a deeper one was.
    Descriptor source;
    Descriptor dest;
  };

  Place enter(Child self, std::string path) {
    Place place;
    if (!path.empty()) {
      const SplitPath split = splitPath(path);
      const Descriptor parent = openBeneath(dest_, split.parent, O_PATH | O_DIRECTORY);
      if (!parent) failErrno("openat2", path);
      // 0700 until it is full; `leave` gives it its own mode.
      if (mkdirat(parent.get(), self.name.c_str(), 0700) != 0) failErrno("mkdir", path);
    }
    const bool isMount = self.stat.stx_dev_major != deviceMajor_ || self.stat.stx_dev_minor != deviceMinor_;
    if (!isMount) place.children = readChildren(source_, path, true);
    place.self = std::move(self);
    place.path = std::move(path);
    return place;
  }

  void leave(const Place& place) {
    const Descriptor directory = openBeneath(dest_, place.path, O_RDONLY | O_DIRECTORY);
    if (!directory) failErrno("openat2", place.path);
    setMetadata(directory.get(), ".", place.self, place.path);
  }

  void openPlace(Place& place) {
    if (place.source) return;
    place.source = openBeneath(source_, place.path, O_PATH | O_DIRECTORY);
    place.dest = openBeneath(dest_, place.path, O_PATH | O_DIRECTORY);
    if (!place.source || !place.dest) failErrno("openat2", place.path);
  }

  void copyChild(Place& place, const Child& child) {
    openPlace(place);
    const std::string path = joinPath(place.path, child.name);
    if (child.stat.stx_nlink > 1 && linkKnown(place, child, path)) return;
    const int dest = place.dest.get();
    switch (child.type()) {
      case EntryType::file:
        copyFile(place, child, path);
        break;
      case EntryType::symlink:
        if (symlinkat(child.target.c_str(), dest, child.name.c_str()) != 0) failErrno("symlink", path);
        break;
      default: {
        const dev_t device = makedev(child.stat.stx_rdev_major, child.stat.stx_rdev_minor);
        const mode_t mode = (child.stat.stx_mode & S_IFMT) | 0600;
        if (mknodat(dest, child.name.c_str(), mode, device) != 0) failErrno("mknod", path);
        break;
      }
    }
    setMetadata(dest, child.name, child, path);
    // The last child's descriptors go with it: a place that waits for a deeper one holds none.
    if (place.next == place.children.size() || place.children[place.next].isDirectory()) {
      place.source.reset();
      place.dest.reset();
    }
  }

  // True when another name of the same file was copied before, and is linked now.
  bool linkKnown(Place& place, const Child& child, const std::string& path) {
    const auto [known, isNew] = links_.emplace(
        std::make_pair(makedev(child.stat.stx_dev_major, child.stat.stx_dev_minor), child.stat.stx_ino), path);
    if (isNew) return false;
    std::string base;
    const Descriptor parent = openParentBeneath(dest_, known->second, &base);
    if (!parent) failErrno("openat2", known->second);
    if (linkat(parent.get(), base.c_str(), place.dest.get(), child.name.c_str(), 0) != 0) failErrno("link", path);
    return true;
  }

  void copyFile(Place& place, const Child& child, const std::string& path) {
    const Descriptor from = openBeneath(place.source.get(), child.name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (!from) failErrno("open", path);
    const Descriptor to(openat(place.dest.get(), child.name.c_str(),
                               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!to) failErrno("open", path);
    copyFileBytes(from.get(), to.get(), child.stat.stx_size, path, cancellation_);
  }

  // The order of extract.cc, for its reasons.
  void setMetadata(int dirfd, const std::string& name, const Child& child, const std::string& path) {
    const auto& stat = child.stat;
    struct stat made;
    if (fstatat(dirfd, name.c_str(), &made, AT_SYMLINK_NOFOLLOW) != 0) failErrno("fstatat", path);
    const bool isOwned = made.st_uid == stat.stx_uid && made.st_gid == stat.stx_gid;
    if (!isOwned && fchownat(dirfd, name.c_str(), stat.stx_uid, stat.stx_gid, AT_SYMLINK_NOFOLLOW) != 0) {
      failErrno("fchownat", path);
    }
    for (const auto& attribute : child.xattrs) {
      const int error = setXattrAt(dirfd, name, attribute);
      // A filesystem without such attributes keeps what it can (features O22).
      if (error != 0 && error != EOPNOTSUPP) failErrno("setxattr", path, error);
    }
    if (child.type() != EntryType::symlink && fchmodat(dirfd, name.c_str(), stat.stx_mode & 07777, 0) != 0) {
      failErrno("fchmodat", path);
    }
    const struct timespec times[2] = {
        {stat.stx_atime.tv_sec, static_cast<long>(stat.stx_atime.tv_nsec)},
        {stat.stx_mtime.tv_sec, static_cast<long>(stat.stx_mtime.tv_nsec)},
    };
    if (utimensat(dirfd, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) failErrno("utimensat", path);
  }

  const int source_;
  const int dest_;
  const Cancellation& cancellation_;
  uint32_t deviceMajor_ = 0;
  uint32_t deviceMinor_ = 0;
  std::map<std::pair<dev_t, uint64_t>, std::string> links_;
};

}  // namespace

void copyTree(const std::string& source, const std::string& dest, const Cancellation& cancellation) {
  const Descriptor from = openRoot(source);
  if (mkdir(dest.c_str(), 0700) != 0 && errno != EEXIST) failErrno("mkdir", dest);
  const Descriptor to = openRoot(dest);
  TreeCopy(from.get(), to.get(), cancellation).run();
}

}  // namespace tsbuild

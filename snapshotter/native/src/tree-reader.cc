#include "tree-reader.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <climits>

#include "directory.h"
#include "failure.h"
#include "resolve.h"

namespace tsbuild {

namespace {

constexpr unsigned statMask = STATX_BASIC_STATS;

std::string readTarget(int dirfd, const std::string& name, std::string_view path) {
  char buffer[PATH_MAX];
  const ssize_t size = readlinkat(dirfd, name.c_str(), buffer, sizeof(buffer));
  if (size < 0) failErrno("readlink", path);
  return std::string(buffer, static_cast<size_t>(size));
}

// False when the child is gone.
bool fillChild(int dirfd, const std::string& parent, bool withXattrs, Child* child) {
  if (statx(dirfd, child->name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
            statMask, &child->stat) != 0) {
    if (errno == ENOENT) return false;
    failErrno("statx", joinPath(parent, child->name));
  }
  if (child->type() == EntryType::symlink) {
    child->target = readTarget(dirfd, child->name, joinPath(parent, child->name));
  }
  if (withXattrs) child->xattrs = listXattrsAt(dirfd, child->name, joinPath(parent, child->name));
  return true;
}

// Inode numbers beyond what a double holds exactly (overlayfs keeps a layer number in the top bits) are folded rather
// than rounded: rounding would make neighbours equal.
double inodeNumber(uint64_t ino) {
  constexpr uint64_t exact = (1ull << 53) - 1;
  return static_cast<double>((ino & exact) ^ ((ino >> 53) << 42));
}

}  // namespace

EntryType Child::type() const {
  switch (stat.stx_mode & S_IFMT) {
    case S_IFDIR:
      return EntryType::dir;
    case S_IFLNK:
      return EntryType::symlink;
    case S_IFCHR:
      return EntryType::charDevice;
    case S_IFBLK:
      return EntryType::blockDevice;
    case S_IFIFO:
      return EntryType::fifo;
    case S_IFSOCK:
      return EntryType::socket;
    default:
      return EntryType::file;
  }
}

std::string joinPath(std::string_view parent, std::string_view name) {
  std::string out;
  out.reserve(parent.size() + 1 + name.size());
  out += parent;
  if (!parent.empty()) out += '/';
  out += name;
  return out;
}

std::vector<Child> statChildren(int dirfd, const std::string& path, const std::vector<std::string_view>& names,
                                bool withXattrs) {
  std::vector<Child> children;
  children.reserve(names.size());
  for (const auto& name : names) {
    Child& child = children.emplace_back();
    child.name = name;
    if (!fillChild(dirfd, path, withXattrs, &child)) children.pop_back();
  }
  return children;
}

bool readNames(int root, const std::string& path, Descriptor* directory, std::vector<std::string>* names) {
  *directory = openBeneath(root, path, O_RDONLY | O_DIRECTORY);
  if (!*directory) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return false;
    failErrno("open", path);
  }
  const bool read = readDirectory(directory->get(), [&](std::string_view name, unsigned char) { names->emplace_back(name); });
  if (!read) {
    // ENOENT: the directory was removed while it was open.
    if (errno == ENOENT) return false;
    failErrno("getdents64", path);
  }
  std::sort(names->begin(), names->end());
  return true;
}

std::vector<Child> readChildren(int root, const std::string& path, bool withXattrs) {
  Descriptor directory;
  std::vector<std::string> names;
  if (!readNames(root, path, &directory, &names)) return {};
  return statChildren(directory.get(), path, {names.begin(), names.end()}, withXattrs);
}

void addScanned(Columns& columns, const Child& child, std::string_view path) {
  const auto& stat = child.stat;
  columns.add(child.type(), path);
  columns.number(stat.stx_mode & 07777);
  columns.number(stat.stx_uid);
  columns.number(stat.stx_gid);
  columns.number(static_cast<double>(stat.stx_size));
  columns.number(static_cast<double>(stat.stx_mtime.tv_sec));
  columns.number(stat.stx_mtime.tv_nsec);
  columns.number(static_cast<double>(stat.stx_ctime.tv_sec));
  columns.number(stat.stx_ctime.tv_nsec);
  columns.number(static_cast<double>(makedev(stat.stx_dev_major, stat.stx_dev_minor)));
  columns.number(inodeNumber(stat.stx_ino));
  columns.number(stat.stx_nlink);
  columns.number(stat.stx_rdev_major);
  columns.number(stat.stx_rdev_minor);
  if (child.type() == EntryType::symlink) columns.target(child.target);
  columns.xattrs(child.xattrs);
}

}  // namespace tsbuild

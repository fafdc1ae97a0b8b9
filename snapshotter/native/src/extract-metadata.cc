#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "extract.h"
#include "failure.h"
#include "resolve.h"

// Owners, modes, attributes and times of what was made.
namespace tsbuild {

namespace {

bool hasOwners(const struct stat& stat, const TarEntry& entry) {
  return stat.st_uid == entry.uid && stat.st_gid == entry.gid;
}

}  // namespace

// A layer's directory has the attributes that the layer says, and none of the directory that it shows through.
void Extractor::dropXattrs(int parent, const std::string& base, const TarEntry& entry) {
  for (const auto& old : listXattrsAt(parent, base, entry.path)) {
    const auto isOld = [&](const Xattr& attribute) { return attribute.name == old.name; };
    if (std::any_of(entry.xattrs.begin(), entry.xattrs.end(), isOld)) continue;
    // Those of the kernel's security modules come and go by their own rules.
    if (old.name.rfind("security.", 0) == 0) continue;
    const int error = removeXattrAt(parent, base, old.name);
    if (error != 0 && error != ENODATA) failErrno("removexattr", entry.path, error);
  }
}

void Extractor::setXattrs(int parent, const std::string& base, const TarEntry& entry) {
  for (const auto& attribute : entry.xattrs) {
    if (isOverlayXattr(attribute.name)) continue;
    const int error = setXattrAt(parent, base, attribute);
    if (error == 0) continue;
    // Filesystems without such attributes, and namespaces that the kernel reserves for the host's root.
    const bool isCapability = attribute.name == "security.capability";
    if (error != EOPNOTSUPP && (isCapability || (error != EPERM && error != EACCES))) {
      failErrno("setxattr", entry.path, error);
    }
    skipped_.push_back({entry.path, attribute.name});
  }
}

// The order matters: chown(2) drops setuid bits and file capabilities, so they come after it; an attribute may need a mode
// that still allows writing, and each of them changes the ctime only.
void Extractor::setMetadata(int parent, const std::string& base, const TarEntry& entry) {
  if (settings_.withOwners) {
    const auto uid = static_cast<uid_t>(entry.uid);
    const auto gid = static_cast<gid_t>(entry.gid);
    if (fchownat(parent, base.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0) failErrno("fchownat", entry.path);
    setXattrs(parent, base, entry);
  }
  // No symlink can be at `base`: it was made a moment ago in a directory that only this process writes.
  if (entry.type != EntryType::symlink && fchmodat(parent, base.c_str(), entry.mode, 0) != 0) {
    failErrno("fchmodat", entry.path);
  }
  const struct timespec times[2] = {{0, UTIME_OMIT}, {static_cast<time_t>(entry.mtimeSec), 0}};
  if (utimensat(parent, base.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) failErrno("utimensat", entry.path);
}

// The same without times, which `finish` sets. What it has already is not set: looking costs a tenth of changing.
void Extractor::setDirectoryMetadata(int parent, const std::string& base, const TarEntry& entry, uint32_t mode) {
  struct stat stat;
  if (fstatat(parent, base.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0) failErrno("fstatat", entry.path);
  if (settings_.withOwners) {
    if (!hasOwners(stat, entry) && fchownat(parent, base.c_str(), static_cast<uid_t>(entry.uid),
                                            static_cast<gid_t>(entry.gid), AT_SYMLINK_NOFOLLOW) != 0) {
      failErrno("fchownat", entry.path);
    }
    setXattrs(parent, base, entry);
  }
  // Attributes may change the mode: access control lists do.
  const bool isSet = entry.xattrs.empty() && (stat.st_mode & 07777) == mode;
  if (!isSet && fchmodat(parent, base.c_str(), mode, 0) != 0) failErrno("fchmodat", entry.path);
}

// What it has already is not set, as above; through the open descriptor, which spares the kernel looking the name up.
void Extractor::complete(int file, const TarEntry& entry) const {
  struct stat stat;
  if (fstat(file, &stat) != 0) failErrno("fstat", entry.path);
  const bool isOwned = !settings_.withOwners || hasOwners(stat, entry);
  if (!isOwned && fchown(file, static_cast<uid_t>(entry.uid), static_cast<gid_t>(entry.gid)) != 0) {
    failErrno("fchown", entry.path);
  }
  const uint32_t mode = fileMode(entry);
  if ((stat.st_mode & 07777) != mode && fchmod(file, mode) != 0) failErrno("fchmod", entry.path);
  const struct timespec times[2] = {{0, UTIME_OMIT}, {static_cast<time_t>(entry.mtimeSec), 0}};
  if (futimens(file, times) != 0) failErrno("futimens", entry.path);
}

void Extractor::finish() {
  parents_.clear();
  // Children first: a parent's own mode may keep an ordinary user out.
  for (auto item = directories_.rbegin(); item != directories_.rend(); ++item) {
    const auto& [path, fate] = *item;
    cancellation_.check();
    const Descriptor parent = resolveDirectory(std::string(splitPath(path).parent));
    const std::string base = path.empty() ? "." : std::string(splitPath(path).base);
    struct stat stat;
    // A later entry may have put something else in its place, through another name of a parent.
    if (!parent || fstatat(parent.get(), base.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(stat.st_mode)) {
      continue;
    }
    if (!settings_.opensAll && (fate.mode & 0700) != 0700 && fchmodat(parent.get(), base.c_str(), fate.mode, 0) != 0) {
      failErrno("fchmodat", path);
    }
    const struct timespec times[2] = {{0, UTIME_OMIT}, {static_cast<time_t>(fate.mtimeSec), 0}};
    if (utimensat(parent.get(), base.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) failErrno("utimensat", path);
  }
}

}  // namespace tsbuild

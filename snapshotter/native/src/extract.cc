#include "extract.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <climits>
#include <cstring>

#include "copy-file.h"
#include "failure.h"
#include "remove.h"
#include "resolve.h"
#include "tree-reader.h"

namespace tsbuild {

namespace {

constexpr size_t openParentsMax = 128;
constexpr uint32_t implicitDirectoryMode = 0755;

bool isZero(const uint8_t* data, size_t size) {
  return data[0] == 0 && std::memcmp(data, data + 1, size - 1) == 0;
}

bool hasOwners(const struct stat& stat, const TarEntry& entry) {
  return stat.st_uid == entry.uid && stat.st_gid == entry.gid;
}

bool isWhiteoutNode(const struct stat& stat) { return S_ISCHR(stat.st_mode) && stat.st_rdev == 0; }

template <typename Value>
void forgetBelow(std::map<std::string, Value>& paths, const std::string& path) {
  // '0' is the character after '/'.
  paths.erase(paths.lower_bound(path + "/"), paths.lower_bound(path + "0"));
  paths.erase(path);
}

uint32_t nodeType(EntryType type) {
  if (type == EntryType::charDevice) return S_IFCHR;
  return type == EntryType::blockDevice ? S_IFBLK : S_IFIFO;
}

}  // namespace

Extractor::Extractor(const ExtractSettings& settings, const Cancellation& cancellation)
    : settings_(settings), cancellation_(cancellation), root_(openRoot(settings.root)) {}

void Extractor::failParent(const std::string& path, int error) const {
  if (error == ENOTDIR) failCode("bad-archive", path, "a parent of it is no directory");
  if (error == ELOOP) failCode("bad-archive", path, "a parent of it is a loop of symbolic links");
  failErrno("openat2", path, error);
}

Descriptor Extractor::resolveDirectory(const std::string& path) {
  if (path.size() >= PATH_MAX) return openBeneath(root_.get(), path, O_PATH | O_DIRECTORY);
  return Descriptor(openat2At(root_.get(), path.empty() ? "." : path.c_str(), O_PATH | O_DIRECTORY,
                              RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
}

// Makes `path` and those of its parents that are missing.
void Extractor::makeMissing(const std::string& path) {
  std::vector<std::string_view> missing;
  Descriptor at;
  for (std::string_view prefix = path;; prefix = splitPath(prefix).parent) {
    at = resolveDirectory(std::string(prefix));
    if (at) break;
    if (errno != ENOENT || prefix.empty()) failParent(std::string(prefix), errno);
    missing.push_back(prefix);
  }
  for (auto prefix = missing.rbegin(); prefix != missing.rend(); ++prefix) {
    const std::string base(splitPath(*prefix).base);
    if (mkdirat(at.get(), base.c_str(), implicitDirectoryMode) != 0) {
      // It exists, and yet it could not be opened: a symlink to nothing.
      if (errno == EEXIST) failCode("bad-archive", *prefix, "it is a parent and a dangling symbolic link");
      failErrno("mkdir", *prefix);
    }
    if (settings_.whiteouts == Whiteouts::apply) unpacked_[std::string(*prefix)] = true;
    at.reset(openat2At(at.get(), base.c_str(), O_PATH | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS));
    if (!at) failErrno("openat2", *prefix);
  }
}

int Extractor::parentOf(std::string_view path) {
  const std::string parent(splitPath(path).parent);
  const auto known = parents_.find(parent);
  if (known != parents_.end()) return known->second.get();
  Descriptor fd = resolveDirectory(parent);
  if (!fd && errno == ENOENT) {
    makeMissing(parent);
    fd = resolveDirectory(parent);
  }
  if (!fd) failParent(std::string(path), errno);
  if (parents_.size() >= openParentsMax) parents_.clear();
  return parents_.emplace(parent, std::move(fd)).first->second.get();
}

void Extractor::apply(const TarEntry& entry, TarReader& reader, const ByteSink& copied) {
  apply(entry, [&](int file) {
    bool endsInHole = false;
    reader.readContent([&](const uint8_t* data, size_t size) {
      cancellation_.check();
      copied(data, size);
      endsInHole = size >= 4096 && isZero(data, size);
      if (endsInHole) {
        // Zeros stay holes: a sparse file of a few blocks must not fill the disk.
        if (lseek(file, static_cast<off_t>(size), SEEK_CUR) < 0) failErrno("lseek", entry.path);
      } else {
        writeBytes(file, data, size, entry.path);
      }
    });
    if (endsInHole && ftruncate(file, static_cast<off_t>(entry.size)) != 0) failErrno("ftruncate", entry.path);
  });
}

void Extractor::apply(const TarEntry& entry, const FileFill& fill) {
  if (entry.type == EntryType::whiteout) return applyWhiteout(entry);
  if (entry.type == EntryType::opaque) return applyOpaque(entry);
  // A path's own directory is its parent and "." its name.
  const int parent = entry.path.empty() ? root_.get() : parentOf(entry.path);
  const std::string base = entry.path.empty() ? "." : std::string(splitPath(entry.path).base);
  switch (entry.type) {
    case EntryType::dir:
      makeDirectory(parent, base, entry);
      break;
    case EntryType::file: {
      const Descriptor file = createFile(parent, base, entry);
      fill(file.get());
      complete(file.get(), entry);
      if (settings_.withOwners && !entry.xattrs.empty()) {
        // Not by `parent`: where something was in the way it is another descriptor now.
        setXattrs(parentOf(entry.path), base, entry);
        // Attributes may change the mode: access control lists do.
        if (fchmod(file.get(), entry.mode) != 0) failErrno("fchmod", entry.path);
      }
      break;
    }
    case EntryType::symlink:
      makeEntry(parent, base, entry, "symlink", [&](int at) { return symlinkat(entry.target.c_str(), at, base.c_str()); });
      break;
    case EntryType::hardlink:
      makeHardlink(parent, base, entry);
      break;
    default:
      if (!makeNode(parent, base, entry)) return;
      break;
  }
  if (settings_.whiteouts == Whiteouts::apply) unpacked_[entry.path] = true;
  // The metadata of a hard link is its target's; files and directories have got theirs.
  if (entry.type != EntryType::hardlink && entry.type != EntryType::dir && entry.type != EntryType::file) {
    setMetadata(parentOf(entry.path), base, entry);
  }
}

Descriptor Extractor::create(const TarEntry& entry) {
  Descriptor file = createFile(parentOf(entry.path), std::string(splitPath(entry.path).base), entry);
  if (settings_.whiteouts == Whiteouts::apply) unpacked_[entry.path] = true;
  return file;
}

void Extractor::clearWay(int parent, const std::string& base, const TarEntry& entry) {
  removeAt(parent, base, entry.path, cancellation_);
  forgetBelow(directories_, entry.path);
  forgetBelow(unpacked_, entry.path);
}

template <typename Make>
void Extractor::makeEntry(int parent, const std::string& base, const TarEntry& entry, const char* syscall, Make make) {
  if (make(parent) == 0) return;
  if (errno != EEXIST) failErrno(syscall, entry.path);
  clearWay(parent, base, entry);
  parents_.clear();
  if (make(parentOf(entry.path)) != 0) failErrno(syscall, entry.path);
}

void Extractor::makeDirectory(int parent, const std::string& base, const TarEntry& entry) {
  // An archive's entry for its root says nothing about the directory that it is unpacked into (features O29).
  if (entry.path.empty() && settings_.whiteouts == Whiteouts::plain) return;
  bool hidesLower = false;
  bool wasThere = false;
  // A directory without these bits could not be filled by an ordinary user; `finish` sets the real mode.
  const uint32_t filling = entry.mode | 0700;
  if (!entry.path.empty() && mkdirat(parent, base.c_str(), filling) != 0) {
    struct stat stat;
    if (errno != EEXIST) failErrno("mkdir", entry.path);
    if (fstatat(parent, base.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0) failErrno("fstatat", entry.path);
    wasThere = S_ISDIR(stat.st_mode);
    if (!wasThere) {
      // A directory that takes the place of its own whiteout still hides what is below.
      hidesLower = settings_.whiteouts == Whiteouts::overlay && isWhiteoutNode(stat);
      clearWay(parent, base, entry);
      parents_.clear();
      parent = parentOf(entry.path);
      if (mkdirat(parent, base.c_str(), filling) != 0) failErrno("mkdir", entry.path);
    }
  }
  if (hidesLower) markOpaque(parent, base, entry.path);
  if (wasThere && settings_.whiteouts == Whiteouts::apply && settings_.withOwners) dropXattrs(parent, base, entry);
  setDirectoryMetadata(parent, base, entry, filling);
  directories_[entry.path] = {entry.mode, entry.mtimeSec};
}

Descriptor Extractor::createFile(int parent, const std::string& base, const TarEntry& entry) {
  Descriptor file;
  makeEntry(parent, base, entry, "open", [&](int at) {
    // Its last mode, as far as the umask lets it: most files need no other then.
    file.reset(openat(at, base.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, entry.mode & 0777));
    return file ? 0 : -1;
  });
  return file;
}

void Extractor::makeHardlink(int parent, const std::string& base, const TarEntry& entry) {
  // A link to itself would be removed before it is made.
  if (entry.target == entry.path) failCode("bad-archive", entry.path, "it is a hard link to itself");
  Descriptor target = resolveDirectory(std::string(splitPath(entry.target).parent));
  const std::string targetBase(splitPath(entry.target).base);
  struct stat stat;
  if (!target || fstatat(target.get(), targetBase.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0) {
    failCode("bad-archive", entry.path, "it is a hard link to '" + entry.target + "', which is not there");
  }
  if (S_ISDIR(stat.st_mode)) failCode("bad-archive", entry.path, "it is a hard link to a directory");
  // Without AT_SYMLINK_FOLLOW a symlink is linked itself, so nothing outside can be reached.
  makeEntry(parent, base, entry, "link",
            [&](int at) { return linkat(target.get(), targetBase.c_str(), at, base.c_str(), 0); });
}

// False when it was skipped.
bool Extractor::makeNode(int parent, const std::string& base, const TarEntry& entry) {
  const bool isDevice = entry.type != EntryType::fifo;
  bool isRefused = isDevice && !settings_.withOwners;
  if (!isRefused) {
    makeEntry(parent, base, entry, "mknod", [&](int at) {
      const dev_t device = isDevice ? makedev(entry.major, entry.minor) : 0;
      if (mknodat(at, base.c_str(), nodeType(entry.type) | 0600, device) == 0) return 0;
      // Only the host's root may make devices; a user namespace never can.
      isRefused = isDevice && errno == EPERM;
      return isRefused ? 0 : -1;
    });
  }
  if (isRefused) skipped_.push_back({entry.path, "device"});
  return !isRefused;
}

void Extractor::markOpaque(int parent, const std::string& base, std::string_view path) {
  const char* name = settings_.userXattr ? "user.overlay.opaque" : "trusted.overlay.opaque";
  const int error = setXattrAt(parent, base, {name, "y"});
  if (error != 0) failErrno("setxattr", path, error);
}

void Extractor::applyWhiteout(const TarEntry& entry) {
  if (settings_.whiteouts == Whiteouts::apply) return removeOlder(entry.path, true);
  const int parent = parentOf(entry.path);
  const std::string base(splitPath(entry.path).base);
  // A character device 0/0 is a whiteout to overlayfs; anybody may make it (Linux 5.8).
  if (mknodat(parent, base.c_str(), S_IFCHR, makedev(0, 0)) == 0) return;
  if (errno != EEXIST) failErrno("mknod", entry.path);
  struct stat stat;
  if (fstatat(parent, base.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0) failErrno("fstatat", entry.path);
  // Whiteouts are about lower layers only, in whatever order they come (image-spec, layer.md).
  if (S_ISDIR(stat.st_mode)) markOpaque(parent, base, entry.path);
}

void Extractor::applyOpaque(const TarEntry& entry) {
  if (settings_.whiteouts == Whiteouts::apply) return removeOlder(entry.path, false);
  // On the root of a layer overlayfs ignores the mark.
  const std::string child = entry.path.empty() ? "." : entry.path + "/.";
  markOpaque(parentOf(child), ".", entry.path);
}

// Whether what is at `path` can only be of this layer, because it or a parent was cleared of the older before.
bool Extractor::isCleared(const std::string& path) const {
  for (size_t end = 0; end != std::string::npos;) {
    end = path.find('/', end + 1);
    if (cleared_.count(path.substr(0, end)) != 0) return true;
  }
  return cleared_.count("") != 0;
}

// Removes what earlier layers brought at `path`, or only below it. Everything is walked once, whatever number of
// whiteouts a layer has (containerd GHSA-rp3h-jf77-q9p4).
void Extractor::removeOlder(const std::string& path, bool withItself) {
  std::vector<std::string> waiting = {path};
  parents_.clear();
  while (!waiting.empty()) {
    cancellation_.check();
    const std::string at = std::move(waiting.back());
    waiting.pop_back();
    if (isCleared(at)) continue;
    const std::string prefix = at.empty() ? at : at + "/";
    const auto below = unpacked_.lower_bound(prefix);
    const bool hasNewBelow = below != unpacked_.end() && below->first.rfind(prefix, 0) == 0;
    const bool mayGo = withItself || at != path;
    if (hasNewBelow || unpacked_.count(at) != 0 || !mayGo) {
      // Something here is of this layer: the rest goes one by one.
      for (const auto& child : readChildren(root_.get(), at, false)) waiting.push_back(joinPath(at, child.name));
      continue;
    }
    const Descriptor parent = resolveDirectory(std::string(splitPath(at).parent));
    if (parent) removeAt(parent.get(), std::string(splitPath(at).base), at, cancellation_);
    if (!parent && errno != ENOENT && errno != ENOTDIR) failParent(at, errno);
  }
  cleared_.insert(path);
}

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
  if ((stat.st_mode & 07777) != entry.mode && fchmod(file, entry.mode) != 0) failErrno("fchmod", entry.path);
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
    if ((fate.mode & 0700) != 0700 && fchmodat(parent.get(), base.c_str(), fate.mode, 0) != 0) {
      failErrno("fchmodat", path);
    }
    const struct timespec times[2] = {{0, UTIME_OMIT}, {static_cast<time_t>(fate.mtimeSec), 0}};
    if (utimensat(parent.get(), base.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) failErrno("utimensat", path);
  }
}

}  // namespace tsbuild

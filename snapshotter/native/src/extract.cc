#include "extract.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstring>

#include "copy-file.h"
#include "failure.h"
#include "remove.h"
#include "resolve.h"

namespace tsbuild {

namespace {

constexpr size_t openParentsMax = 128;
constexpr uint32_t implicitDirectoryMode = 0755;

bool isZero(const uint8_t* data, size_t size) {
  return data[0] == 0 && std::memcmp(data, data + 1, size - 1) == 0;
}

bool isWhiteoutNode(const struct stat& stat) { return S_ISCHR(stat.st_mode) && stat.st_rdev == 0; }

template <typename SortedByPath>
void forgetBelow(SortedByPath& paths, const std::string& path) {
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

Descriptor Extractor::resolveDirectory(const std::string& path) const {
  return openDirectoryInRoot(root_.get(), path);
}

uint32_t Extractor::fileMode(const TarEntry& entry) const {
  return settings_.opensAll ? entry.mode | 0400 : entry.mode;
}

void Extractor::noteUnpacked(const std::string& path) {
  if (settings_.whiteouts == Whiteouts::apply) unpacked_.insert(path);
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
    noteUnpacked(std::string(*prefix));
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
        if (fchmod(file.get(), fileMode(entry)) != 0) failErrno("fchmod", entry.path);
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
  noteUnpacked(entry.path);
  // The metadata of a hard link is its target's; files and directories have got theirs.
  if (entry.type != EntryType::hardlink && entry.type != EntryType::dir && entry.type != EntryType::file) {
    setMetadata(parentOf(entry.path), base, entry);
  }
}

Descriptor Extractor::create(const TarEntry& entry) {
  Descriptor file = createFile(parentOf(entry.path), std::string(splitPath(entry.path).base), entry);
  noteUnpacked(entry.path);
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
    file.reset(openat(at, base.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, fileMode(entry) & 0777));
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
  bool isRefused = isDevice && !settings_.withDevices;
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

void Extractor::move(const TarEntry& entry, int fromParent, const std::string& fromBase) {
  // Where nobody can put a symlink in its place.
  struct stat stat;
  if (fstatat(fromParent, fromBase.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0) failErrno("fstatat", entry.path);
  if (!S_ISREG(stat.st_mode)) failCode("not-a-file", entry.path, "it is not a regular file");
  if ((stat.st_mode & 07777) != entry.mode && fchmodat(fromParent, fromBase.c_str(), entry.mode, 0) != 0) {
    failErrno("fchmodat", entry.path);
  }
  const struct timespec times[2] = {{0, UTIME_OMIT}, {static_cast<time_t>(entry.mtimeSec), 0}};
  const bool isDated = stat.st_mtim.tv_sec == times[1].tv_sec && stat.st_mtim.tv_nsec == 0;
  if (!isDated && utimensat(fromParent, fromBase.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
    failErrno("utimensat", entry.path);
  }
  const std::string base(splitPath(entry.path).base);
  makeEntry(parentOf(entry.path), base, entry, "rename", [&](int at) {
    if (renameat(fromParent, fromBase.c_str(), at, base.c_str()) == 0) return 0;
    // A file goes at once, a directory has to be removed.
    if (errno == EISDIR) errno = EEXIST;
    return -1;
  });
  noteUnpacked(entry.path);
}

}  // namespace tsbuild

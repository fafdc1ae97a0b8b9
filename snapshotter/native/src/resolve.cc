#include "resolve.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include <climits>

#include "failure.h"

namespace tsbuild {

int openat2At(int dirfd, const char* path, uint64_t flags, uint64_t resolve, uint64_t mode) {
  struct open_how how = {};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = resolve;
  // EAGAIN: a rename or mount anywhere raced with a ".." of the walk; bounded so that a hostile renamer cannot hold us.
  for (int attempt = 0; attempt < 128; attempt++) {
    const long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
    if (fd >= 0) return static_cast<int>(fd);
    if (errno != EAGAIN && errno != EINTR) return -1;
  }
  return -1;
}

Descriptor openRoot(const std::string& path) {
  Descriptor root(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) failErrno("open", path);
  return root;
}

Descriptor openBeneath(int root, std::string_view path, uint64_t flags) {
  constexpr uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  if (path.empty()) return Descriptor(openat2At(root, ".", flags, resolve));
  Descriptor held;
  int from = root;
  while (path.size() >= PATH_MAX) {
    // No symlink and no ".." is followed, so walking in pieces means the same as walking at once.
    const size_t cut = path.rfind('/', PATH_MAX - 1);
    if (cut == std::string_view::npos || cut == 0) {
      errno = ENAMETOOLONG;
      return Descriptor();
    }
    Descriptor next(openat2At(from, std::string(path.substr(0, cut)).c_str(), O_PATH | O_DIRECTORY, resolve));
    if (!next) return next;
    held = std::move(next);
    from = held.get();
    path.remove_prefix(cut + 1);
  }
  return Descriptor(openat2At(from, std::string(path).c_str(), flags, resolve));
}

Descriptor openDirectoryInRoot(int root, const std::string& path) {
  if (path.size() >= PATH_MAX) return openBeneath(root, path, O_PATH | O_DIRECTORY);
  return Descriptor(openat2At(root, path.empty() ? "." : path.c_str(), O_PATH | O_DIRECTORY,
                              RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
}

SplitPath splitPath(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

Descriptor openParentBeneath(int root, std::string_view path, std::string* base) {
  const SplitPath split = splitPath(path);
  *base = split.base;
  return openBeneath(root, split.parent, O_PATH | O_DIRECTORY);
}

}  // namespace tsbuild

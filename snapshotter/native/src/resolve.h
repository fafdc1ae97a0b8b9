#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "descriptor.h"

namespace tsbuild {

// openat2(2), retried when a rename elsewhere disturbed it (EAGAIN). -1 with errno on failure.
int openat2At(int dirfd, const char* path, uint64_t flags, uint64_t resolve, uint64_t mode = 0);

// The directory that a host path names; symlinks are followed, because the caller chose the path.
Descriptor openRoot(const std::string& path);

// Opens `path` below `root` without following any symlink, "" being the root itself. Paths longer than PATH_MAX
// are walked in pieces. Invalid descriptor with errno on failure (ELOOP: a symlink is in the way).
Descriptor openBeneath(int root, std::string_view path, uint64_t flags);

// Opens (O_PATH) the directory `path` below `root`, "" being the root itself; symlinks are followed as in a chroot.
// Invalid descriptor with errno on failure.
Descriptor openDirectoryInRoot(int root, const std::string& path);

// `openBeneath` of the directory that holds `path`. `base` becomes the last component.
Descriptor openParentBeneath(int root, std::string_view path, std::string* base);

struct SplitPath {
  std::string_view parent;
  std::string_view base;
};
SplitPath splitPath(std::string_view path);


}  // namespace tsbuild

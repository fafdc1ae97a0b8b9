#include "source-files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "failure.h"
#include "resolve.h"

namespace tsbuild {

void failChanged(const PackItem& item, const std::string& how) {
  failCode("content-changed", item.sourcePath, "it " + how + " while it was packed");
}

int SourceFiles::rootOf(const std::string& path) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto known = roots_.find(path);
  if (known != roots_.end()) return known->second.get();
  return roots_.emplace(path, openRoot(path)).first->second.get();
}

Descriptor SourceFiles::open(const PackItem& item) {
  // O_NONBLOCK: a fifo that took the file's place must not hold us up.
  Descriptor file = openBeneath(rootOf(item.sourceRoot), item.sourcePath, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file && errno == ELOOP) failChanged(item, "became a symbolic link");
  if (!file) failErrno("open", item.sourcePath);
  struct stat stat;
  if (fstat(file.get(), &stat) != 0) failErrno("fstat", item.sourcePath);
  if (!S_ISREG(stat.st_mode)) failChanged(item, "stopped being a regular file");
  if (static_cast<uint64_t>(stat.st_size) != item.entry.size) failChanged(item, "changed its size");
  return file;
}

Descriptor SourceFiles::openParent(const PackItem& item) {
  const std::string parent(splitPath(item.sourcePath).parent);
  Descriptor directory = openDirectoryInRoot(rootOf(item.sourceRoot), parent);
  if (!directory) failErrno("openat2", item.sourcePath);
  return directory;
}

}  // namespace tsbuild

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "extract.h"
#include "failure.h"
#include "remove.h"
#include "resolve.h"
#include "tree-reader.h"

// What hides earlier layers, as overlayfs wants it or by removing what is hidden.
namespace tsbuild {

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
    const bool hasNewBelow = below != unpacked_.end() && below->rfind(prefix, 0) == 0;
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

}  // namespace tsbuild

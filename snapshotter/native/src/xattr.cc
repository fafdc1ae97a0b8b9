#include "xattr.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "failure.h"

namespace tsbuild {

namespace {

// Linux 6.13; the numbers are the same on every architecture.
constexpr long setxattratNumber = 463;
constexpr long getxattratNumber = 464;
constexpr long listxattratNumber = 465;

struct XattrArgs {
  uint64_t value;
  uint32_t size;
  uint32_t flags;
};

bool probeXattrAt() {
  return syscall(listxattratNumber, AT_FDCWD, "/", 0, nullptr, 0) >= 0 || errno == EOPNOTSUPP;
}

// Older kernels, and sandboxes that filter the newer calls.
bool hasXattrAt() {
  static const bool has = probeXattrAt();
  return has;
}

// Names an entry of a directory descriptor for the calls that take only paths.
std::string procPath(int dirfd, const std::string& name) {
  return "/proc/self/fd/" + std::to_string(dirfd) + "/" + name;
}

ssize_t listAt(int dirfd, const std::string& name, char* buffer, size_t size) {
  if (hasXattrAt()) {
    return syscall(listxattratNumber, dirfd, name.c_str(), AT_SYMLINK_NOFOLLOW, buffer, size);
  }
  return llistxattr(procPath(dirfd, name).c_str(), buffer, size);
}

ssize_t getAt(int dirfd, const std::string& name, const char* attribute, char* buffer, size_t size) {
  if (!hasXattrAt()) return lgetxattr(procPath(dirfd, name).c_str(), attribute, buffer, size);
  XattrArgs args = {reinterpret_cast<uint64_t>(buffer), static_cast<uint32_t>(size), 0};
  return syscall(getxattratNumber, dirfd, name.c_str(), AT_SYMLINK_NOFOLLOW, attribute, &args,
                 sizeof(args));
}

// Reads what `call(buffer, size)` gives, in a buffer that grows as needed (ERANGE). Nothing with errno on failure.
template <typename Call>
bool readGrowing(std::string* out, Call call) {
  out->resize(256);
  for (;;) {
    const ssize_t size = call(out->data(), out->size());
    if (size >= 0) {
      out->resize(static_cast<size_t>(size));
      return true;
    }
    if (errno != ERANGE || out->size() >= (1u << 20)) return false;
    out->resize(out->size() * 16);
  }
}

}  // namespace

std::vector<Xattr> listXattrsAt(int dirfd, const std::string& name, std::string_view path) {
  std::vector<Xattr> out;
  std::string names;
  if (!readGrowing(&names, [&](char* buffer, size_t size) { return listAt(dirfd, name, buffer, size); })) {
    if (errno == EOPNOTSUPP || errno == ENOENT) return out;
    failErrno("llistxattr", path);
  }
  for (size_t at = 0; at < names.size(); at += std::strlen(&names[at]) + 1) {
    Xattr attribute;
    attribute.name = &names[at];
    const bool read = readGrowing(&attribute.value, [&](char* buffer, size_t size) {
      return getAt(dirfd, name, attribute.name.c_str(), buffer, size);
    });
    if (read) {
      out.push_back(std::move(attribute));
    } else if (errno != ENODATA && errno != EOPNOTSUPP && errno != ENOENT) {
      failErrno("lgetxattr", path);
    }
  }
  std::sort(out.begin(), out.end(), [](const Xattr& a, const Xattr& b) { return a.name < b.name; });
  return out;
}

int setXattrAt(int dirfd, const std::string& name, const Xattr& attribute) {
  long result;
  if (hasXattrAt()) {
    XattrArgs args = {reinterpret_cast<uint64_t>(attribute.value.data()),
                      static_cast<uint32_t>(attribute.value.size()), 0};
    result = syscall(setxattratNumber, dirfd, name.c_str(), AT_SYMLINK_NOFOLLOW, attribute.name.c_str(),
                     &args, sizeof(args));
  } else {
    result = lsetxattr(procPath(dirfd, name).c_str(), attribute.name.c_str(), attribute.value.data(),
                       attribute.value.size(), 0);
  }
  return result == 0 ? 0 : errno;
}

int removeXattrAt(int dirfd, const std::string& name, const std::string& attribute) {
  return lremovexattr(procPath(dirfd, name).c_str(), attribute.c_str()) == 0 ? 0 : errno;
}

bool isOverlayXattr(std::string_view name) {
  return name.rfind("trusted.overlay.", 0) == 0 || name.rfind("user.overlay.", 0) == 0;
}

}  // namespace tsbuild

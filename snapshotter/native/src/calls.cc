#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <napi.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "columns.h"
#include "descriptor.h"
#include "families.h"
#include "job.h"
#include "path-bytes.h"
#include "resolve.h"

// Single system calls that Node does not offer.
namespace tsbuild {

namespace {

// tryLock(fd, isExclusive) -> whether it is ours
Napi::Value tryLock(const Napi::CallbackInfo& info) {
  return callNow(info, [&]() -> Napi::Value {
    const int fd = info[0].As<Napi::Number>();
    const int mode = info[1].As<Napi::Boolean>() ? LOCK_EX : LOCK_SH;
    int result;
    do {
      result = flock(fd, mode | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    if (result != 0 && errno != EWOULDBLOCK) failErrno("flock", "");
    return Napi::Boolean::New(info.Env(), result == 0);
  });
}

// unlock(fd)
Napi::Value unlock(const Napi::CallbackInfo& info) {
  return callNow(info, [&]() -> Napi::Value {
    if (flock(info[0].As<Napi::Number>(), LOCK_UN) != 0) failErrno("flock", "");
    return info.Env().Undefined();
  });
}

// syncFilesystem(path, cancellation)
Napi::Value syncFilesystem(const Napi::CallbackInfo& info) {
  const std::string path = pathFromJs(info[0]);
  return runJob(info.Env(), cancellationFromJs(info[1]), [path]() -> Delivery {
    // O_NONBLOCK: a fifo must not hold us up.
    const Descriptor file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!file) failErrno("open", path);
    if (syncfs(file.get()) != 0) failErrno("syncfs", path);
    return [](Napi::Env env) { return env.Undefined(); };
  });
}

// openInRoot(root, path) -> fd
Napi::Value openInRoot(const Napi::CallbackInfo& info) {
  return callNow(info, [&]() -> Napi::Value {
    const std::string path = pathFromJs(info[1]);
    const Descriptor root = openRoot(pathFromJs(info[0]));
    constexpr uint64_t resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    const auto checkRegular = [&](int fd) {
      struct stat stat;
      if (fstat(fd, &stat) != 0) failErrno("fstat", path);
      if (!S_ISREG(stat.st_mode)) failCode("not-a-file", path, "it is not a regular file");
    };
    // Looked at before it is opened: opening a device or a fifo can do something.
    const Descriptor found(openat2At(root.get(), path.c_str(), O_PATH, resolve));
    if (!found) failErrno("openat2", path);
    checkRegular(found.get());
    Descriptor file(openat2At(root.get(), path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY, resolve));
    if (!file) failErrno("openat2", path);
    checkRegular(file.get());
    return Napi::Number::New(info.Env(), file.release());
  });
}

// getXattr(path, name) -> bytes | undefined; a last symlink is not followed
Napi::Value getXattr(const Napi::CallbackInfo& info) {
  return callNow(info, [&]() -> Napi::Value {
    const std::string path = pathFromJs(info[0]);
    const std::string name = pathFromJs(info[1]);
    // The kernel's limit for a value (XATTR_SIZE_MAX).
    std::string value(65536, '\0');
    const ssize_t size = lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    if (size < 0 && (errno == ENODATA || errno == EOPNOTSUPP)) return info.Env().Undefined();
    if (size < 0) failErrno("lgetxattr", path);
    const auto* data = reinterpret_cast<const uint8_t*>(value.data());
    return Napi::Buffer<uint8_t>::Copy(info.Env(), data, static_cast<size_t>(size));
  });
}

// setXattr(path, name, bytes)
Napi::Value setXattr(const Napi::CallbackInfo& info) {
  return callNow(info, [&]() -> Napi::Value {
    const std::string path = pathFromJs(info[0]);
    const std::string name = pathFromJs(info[1]);
    const auto value = info[2].As<Napi::Uint8Array>();
    if (lsetxattr(path.c_str(), name.c_str(), value.Data(), value.ByteLength(), 0) != 0) {
      failErrno("lsetxattr", path);
    }
    return info.Env().Undefined();
  });
}

// makeNode(path, type code, mode, major, minor)
Napi::Value makeNode(const Napi::CallbackInfo& info) {
  return callNow(info, [&]() -> Napi::Value {
    const std::string path = pathFromJs(info[0]);
    const auto type = static_cast<EntryType>(info[1].As<Napi::Number>().Int32Value());
    const uint32_t mode = info[2].As<Napi::Number>();
    const uint32_t major = info[3].As<Napi::Number>();
    const uint32_t minor = info[4].As<Napi::Number>();
    uint32_t format = S_IFIFO;
    if (type == EntryType::charDevice) format = S_IFCHR;
    if (type == EntryType::blockDevice) format = S_IFBLK;
    const dev_t device = format == S_IFIFO ? 0 : makedev(major, minor);
    if (mknod(path.c_str(), format | mode, device) != 0) failErrno("mknod", path);
    // mknod(2) takes the umask off, which threads share: the mode is set as asked afterwards.
    if (mode != 0 && chmod(path.c_str(), mode) != 0) failErrno("chmod", path);
    return info.Env().Undefined();
  });
}

// What a filesystem answers that has no such flag, or does not let us set it.
bool isRefusedHint(int error) {
  return error == ENOTTY || error == EOPNOTSUPP || error == ENOSYS || error == EINVAL || error == EPERM ||
         error == EACCES || error == EROFS;
}

// spreadChildren(path) -> whether the filesystem does it
Napi::Value spreadChildren(const Napi::CallbackInfo& info) {
  return callNow(info, [&]() -> Napi::Value {
    const std::string path = pathFromJs(info[0]);
    const Descriptor directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory) failErrno("open", path);
    int flags = 0;
    bool isSet = ioctl(directory.get(), FS_IOC_GETFLAGS, &flags) == 0;
    if (isSet && (flags & FS_TOPDIR_FL) == 0) {
      flags |= FS_TOPDIR_FL;
      isSet = ioctl(directory.get(), FS_IOC_SETFLAGS, &flags) == 0;
    }
    if (!isSet && !isRefusedHint(errno)) failErrno("ioctl", path);
    return Napi::Boolean::New(info.Env(), isSet);
  });
}

}  // namespace

void defineCalls(Napi::Env env, Napi::Object exports) {
  exports.Set("tryLock", Napi::Function::New(env, tryLock, "tryLock"));
  exports.Set("unlock", Napi::Function::New(env, unlock, "unlock"));
  exports.Set("syncFilesystem", Napi::Function::New(env, syncFilesystem, "syncFilesystem"));
  exports.Set("openInRoot", Napi::Function::New(env, openInRoot, "openInRoot"));
  exports.Set("getXattr", Napi::Function::New(env, getXattr, "getXattr"));
  exports.Set("setXattr", Napi::Function::New(env, setXattr, "setXattr"));
  exports.Set("spreadChildren", Napi::Function::New(env, spreadChildren, "spreadChildren"));
  exports.Set("makeNode", Napi::Function::New(env, makeNode, "makeNode"));
}

}  // namespace tsbuild

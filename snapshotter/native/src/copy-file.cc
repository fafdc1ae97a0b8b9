#include "copy-file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "bytes.h"
#include "failure.h"

namespace tsbuild {

namespace {

// A call of copy_file_range for a file of this size takes longer than reading and writing it.
constexpr uint64_t smallFileMax = 64 * 1024;
constexpr uint64_t kernelPart = 64 * 1024 * 1024;

bool isUnsupported(int error) {
  return error == EXDEV || error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == EPERM;
}

// Copies [at, end) in the kernel. Where it stopped, because the filesystems cannot or the file ended.
uint64_t copyInKernel(int from, int to, uint64_t at, uint64_t end, std::string_view path,
                      const Cancellation& cancellation) {
  while (at < end) {
    cancellation.check();
    off64_t in = static_cast<off64_t>(at);
    off64_t out = in;
    const ssize_t size = copy_file_range(from, &in, to, &out, std::min(end - at, kernelPart), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && isUnsupported(errno)) return at;
    if (size < 0) failErrno("copy_file_range", path);
    if (size == 0) return at;
    at += static_cast<uint64_t>(size);
  }
  return at;
}

// How much there was.
size_t copySmall(int from, int to, size_t size, std::string_view path) {
  uint8_t buffer[smallFileMax];
  const size_t done = readBytes(from, buffer, size, path);
  writeBytes(to, buffer, done, path);
  return done;
}

void copyByHand(int from, int to, uint64_t at, uint64_t end, std::string_view path, const Cancellation& cancellation) {
  Bytes buffer(256 * 1024);
  while (at < end) {
    cancellation.check();
    const ssize_t size = pread(from, buffer.data.get(), std::min<uint64_t>(end - at, buffer.capacity), static_cast<off_t>(at));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) failErrno("read", path);
    if (size == 0) return;
    for (ssize_t done = 0; done < size;) {
      const ssize_t part = pwrite(to, buffer.data.get() + done, static_cast<size_t>(size - done),
                                  static_cast<off_t>(at) + done);
      if (part < 0 && errno == EINTR) continue;
      if (part < 0) failErrno("write", path);
      done += part;
    }
    at += static_cast<uint64_t>(size);
  }
}

}  // namespace

size_t readBytes(int from, uint8_t* to, size_t size, std::string_view path) {
  size_t done = 0;
  while (done < size) {
    const ssize_t part = read(from, to + done, size - done);
    if (part < 0 && errno == EINTR) continue;
    if (part < 0) failErrno("read", path);
    if (part == 0) break;
    done += static_cast<size_t>(part);
  }
  return done;
}

void writeBytes(int to, const uint8_t* data, size_t size, std::string_view path) {
  while (size > 0) {
    const ssize_t part = write(to, data, size);
    if (part < 0 && errno == EINTR) continue;
    if (part < 0) failErrno("write", path);
    data += part;
    size -= static_cast<size_t>(part);
  }
}

void copyFileBytes(int from, int to, uint64_t size, std::string_view path, const Cancellation& cancellation) {
  if (size <= smallFileMax) {
    const size_t done = copySmall(from, to, size, path);
    if (done < size && ftruncate(to, static_cast<off_t>(size)) != 0) failErrno("ftruncate", path);
    return;
  }
  if (ioctl(to, FICLONE, from) == 0) return;
  // Parts with data, one after the other; a filesystem that knows no holes calls the whole file one.
  for (uint64_t at = 0; at < size;) {
    const off_t data = lseek(from, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data < 0) failErrno("lseek", path);
    const off_t hole = lseek(from, data, SEEK_HOLE);
    if (hole < 0) failErrno("lseek", path);
    const uint64_t end = std::min(size, static_cast<uint64_t>(hole));
    const uint64_t done = copyInKernel(from, to, static_cast<uint64_t>(data), end, path, cancellation);
    if (done < end) copyByHand(from, to, done, end, path, cancellation);
    at = std::max<uint64_t>(end, static_cast<uint64_t>(hole));
  }
  if (ftruncate(to, static_cast<off_t>(size)) != 0) failErrno("ftruncate", path);
}

}  // namespace tsbuild

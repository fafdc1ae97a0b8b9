#include "directory.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <memory>

namespace tsbuild {

namespace {

// struct linux_dirent64 of getdents64(2): ino (8), off (8), reclen (2), type (1), name.
constexpr size_t reclenAt = 16;
constexpr size_t typeAt = 18;
constexpr size_t nameAt = 19;
constexpr size_t bufferSize = 64 * 1024;

}  // namespace

bool readDirectory(int fd, const std::function<void(std::string_view, unsigned char)>& visit) {
  const auto buffer = std::make_unique<char[]>(bufferSize);
  for (;;) {
    const long size = syscall(SYS_getdents64, fd, buffer.get(), bufferSize);
    if (size < 0) return false;
    if (size == 0) return true;
    for (long at = 0; at < size;) {
      const char* entry = buffer.get() + at;
      uint16_t length;
      std::memcpy(&length, entry + reclenAt, sizeof(length));
      at += length;
      const std::string_view name(entry + nameAt);
      if (name != "." && name != "..") visit(name, static_cast<unsigned char>(entry[typeAt]));
    }
  }
}

}  // namespace tsbuild

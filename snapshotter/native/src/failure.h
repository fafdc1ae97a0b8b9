#pragma once

#include <cerrno>
#include <string>
#include <string_view>

namespace tsbuild {

// What a call throws; job.cc and addon.cc turn it into a JavaScript error that kernel.ts types.
struct Failure {
  // The reason. Empty: the text of `error`.
  std::string reason;
  std::string syscall;
  int error = 0;
  // Empty: the name of `error`.
  std::string code;
  // Raw bytes; empty when no path is involved.
  std::string path;
};

// A system call that failed. `path` is what it was about, for people.
[[noreturn]] void failErrno(const char* syscall, std::string_view path, int error = errno);

// A rule of ours that was broken.
[[noreturn]] void failCode(const char* code, std::string_view path, std::string reason);

}  // namespace tsbuild

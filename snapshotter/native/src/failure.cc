#include "failure.h"

namespace tsbuild {

void failErrno(const char* syscall, std::string_view path, int error) {
  Failure failure;
  failure.syscall = syscall;
  failure.error = error;
  failure.path = path;
  throw failure;
}

void failCode(const char* code, std::string_view path, std::string reason) {
  Failure failure;
  failure.code = code;
  failure.path = path;
  failure.reason = std::move(reason);
  throw failure;
}

}  // namespace tsbuild

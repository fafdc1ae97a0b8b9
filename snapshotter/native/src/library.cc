#include "library.h"

#include <dlfcn.h>

#include "failure.h"

namespace tsbuild {

Library::Library(const char* file, const char* symbol, const char* debianPackage)
    : handle_(RTLD_DEFAULT), file_(file), debianPackage_(debianPackage) {
  if (dlsym(RTLD_DEFAULT, symbol) == nullptr) handle_ = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  // RTLD_DEFAULT is a null pointer in glibc; so is a failed dlopen, and then `find` fails as it should.
}

void* Library::find(const char* name) const {
  void* function = dlsym(handle_, name);
  if (function == nullptr) {
    failCode("codec-missing", "", std::string(file_) + " is not installed (Debian package " + debianPackage_ + ")");
  }
  return function;
}

}  // namespace tsbuild

#pragma once

#include <string>
#include <vector>

namespace tsbuild {

// A shared library that is looked for when first needed, so that the addon loads without it.
class Library {
 public:
  // `symbol` is looked for in the process first (newer Node exports zstd), then in `file`.
  Library(const char* file, const char* symbol, const char* debianPackage);

  // Failure `codec-missing`, naming the package, when the library or the function is not there.
  template <typename Function>
  Function* get(const char* name) const {
    return reinterpret_cast<Function*>(find(name));
  }

 private:
  void* find(const char* name) const;

  void* handle_;
  const char* file_;
  const char* debianPackage_;
};

}  // namespace tsbuild

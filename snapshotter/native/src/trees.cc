#include <fcntl.h>
#include <napi.h>

#include "families.h"
#include "job.h"
#include "path-bytes.h"
#include "remove.h"
#include "resolve.h"

namespace tsbuild {

namespace {

// removeTree(path, cancellation)
Napi::Value removeTreeFromJs(const Napi::CallbackInfo& info) {
  std::string path = pathFromJs(info[0]);
  const auto cancellation = cancellationFromJs(info[1]);
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return runJob(info.Env(), cancellation, [=]() -> Delivery {
    const SplitPath split = splitPath(path);
    if (split.base.empty() || split.base == "." || split.base == "..") {
      failCode("bad-argument", path, "its last component names no entry");
    }
    std::string directory(split.parent);
    if (directory.empty()) directory = path[0] == '/' ? "/" : ".";
    const Descriptor parent(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (parent) removeAt(parent.get(), std::string(split.base), path, *cancellation);
    if (!parent && errno != ENOENT) failErrno("open", directory);
    return [](Napi::Env env) { return env.Undefined(); };
  });
}

}  // namespace

void defineTrees(Napi::Env env, Napi::Object exports) {
  exports.Set("removeTree", Napi::Function::New(env, removeTreeFromJs, "removeTree"));
}

}  // namespace tsbuild

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>

#include "bytes.h"
#include "families.h"
#include "job.h"
#include "path-bytes.h"
#include "resolve.h"
#include "sha256.h"
#include "threads.h"

namespace tsbuild {

namespace {

constexpr size_t readSize = 512 * 1024;

struct Hashed {
  std::string digest;
  Failure failure;
};

std::string hashFile(int root, const std::string& path, Bytes& buffer, Sha256& hash,
                     const Cancellation& cancellation) {
  // O_NONBLOCK: a fifo that took the file's place must not hold us up.
  const Descriptor file = openBeneath(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) failErrno("open", path);
  struct stat stat;
  if (fstat(file.get(), &stat) != 0) failErrno("fstat", path);
  if (!S_ISREG(stat.st_mode)) failCode("not-a-file", path, "it is not a regular file");
  for (;;) {
    cancellation.check();
    const ssize_t size = read(file.get(), buffer.data.get(), buffer.capacity);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) failErrno("read", path);
    if (size == 0) return hash.finish();
    hash.update(buffer.data.get(), static_cast<size_t>(size));
  }
}

void hashAll(int root, const std::vector<std::string>& paths, std::vector<Hashed>& out,
             const Cancellation& cancellation) {
  std::atomic<size_t> next{0};
  runOnThreads(paths.size() < 2 ? 1 : processorThreads(), [&] {
    Bytes buffer(readSize);
    for (size_t i = next++; i < paths.size(); i = next++) {
      cancellation.check();
      Sha256 hash;
      try {
        out[i].digest = hashFile(root, paths[i], buffer, hash, cancellation);
      } catch (const Failure& failure) {
        if (failure.code == "aborted") throw;
        out[i].failure = failure;
      }
    }
  });
}

// hashFiles(root, paths joined, cancellation) -> array of digest | Error
Napi::Value hashFiles(const Napi::CallbackInfo& info) {
  const std::string root = pathFromJs(info[0]);
  const auto paths = std::make_shared<std::vector<std::string>>(splitList(pathFromJs(info[1])));
  const auto cancellation = cancellationFromJs(info[2]);
  return runJob(info.Env(), cancellation, [=]() -> Delivery {
    const Descriptor top = openRoot(root);
    auto hashed = std::make_shared<std::vector<Hashed>>(paths->size());
    hashAll(top.get(), *paths, *hashed, *cancellation);
    return [hashed](Napi::Env env) {
      auto out = Napi::Array::New(env, hashed->size());
      for (size_t i = 0; i < hashed->size(); i++) {
        const auto& [digest, failure] = (*hashed)[i];
        const auto at = static_cast<uint32_t>(i);
        if (digest.empty()) {
          out.Set(at, failureToJs(env, failure).Value());
        } else {
          out.Set(at, digest);
        }
      }
      return out;
    };
  });
}

}  // namespace

void defineHashFiles(Napi::Env env, Napi::Object exports) {
  exports.Set("hashFiles", Napi::Function::New(env, hashFiles, "hashFiles"));
}

}  // namespace tsbuild

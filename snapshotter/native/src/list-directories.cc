#include <fcntl.h>

#include <algorithm>
#include <mutex>

#include "descriptor.h"
#include "families.h"
#include "job.h"
#include "path-bytes.h"
#include "resolve.h"
#include "threads.h"
#include "tree-reader.h"

namespace tsbuild {

namespace {

struct Listing {
  std::vector<Child> children;
  // Names of the children that were not looked at, with a NUL after each.
  std::string rest;
};

Listing listDirectory(int root, const std::string& path, bool withXattrs, size_t entriesMax) {
  Listing listing;
  Descriptor directory;
  std::vector<std::string> names;
  if (!readNames(root, path, &directory, &names)) return listing;
  const auto end = names.begin() + static_cast<ptrdiff_t>(std::min(entriesMax, names.size()));
  listing.children = statChildren(directory.get(), path, {names.begin(), end}, withXattrs);
  for (auto name = end; name != names.end(); ++name) listing.rest.append(*name).push_back('\0');
  return listing;
}

// listDirectories(root, paths joined, withXattrs, entriesMax, cancellation)
// -> { entries: columns, counts: number of each path, rests: [index of the path, names joined, ...] }
// Directories are taken in their order until they have `entriesMax` children together.
Napi::Value listDirectories(const Napi::CallbackInfo& info) {
  const std::string root = pathFromJs(info[0]);
  const auto paths = std::make_shared<std::vector<std::string>>(splitList(pathFromJs(info[1])));
  const bool withXattrs = info[2].As<Napi::Boolean>();
  const auto entriesMax = static_cast<size_t>(info[3].As<Napi::Number>().Int64Value());
  const auto cancellation = cancellationFromJs(info[4]);
  return runJob(info.Env(), cancellation, [=]() -> Delivery {
    const Descriptor top = openRoot(root);
    std::vector<Listing> lists(paths->size());
    std::mutex mutex;
    size_t taken = 0;
    size_t found = 0;
    const auto take = [&] {
      std::lock_guard<std::mutex> lock(mutex);
      return found >= entriesMax || taken == lists.size() ? lists.size() : taken++;
    };
    const unsigned threads = paths->size() < 4 ? 1 : processorThreads();
    runOnThreads(threads, [&] {
      for (size_t i = take(); i < lists.size(); i = take()) {
        cancellation->check();
        lists[i] = listDirectory(top.get(), (*paths)[i], withXattrs, entriesMax);
        std::lock_guard<std::mutex> lock(mutex);
        found += lists[i].children.size();
      }
    });
    lists.resize(taken);
    auto columns = std::make_shared<Columns>();
    auto counts = std::make_shared<std::vector<uint32_t>>();
    auto rests = std::make_shared<std::vector<std::pair<size_t, std::string>>>();
    for (size_t i = 0; i < lists.size(); i++) {
      for (const auto& child : lists[i].children) addScanned(*columns, child, joinPath((*paths)[i], child.name));
      counts->push_back(static_cast<uint32_t>(lists[i].children.size()));
      if (!lists[i].rest.empty()) rests->emplace_back(i, std::move(lists[i].rest));
    }
    return [columns, counts, rests](Napi::Env env) {
      auto out = Napi::Object::New(env);
      auto array = Napi::Uint32Array::New(env, counts->size());
      std::copy(counts->begin(), counts->end(), array.Data());
      auto flat = Napi::Array::New(env);
      for (const auto& [index, names] : *rests) {
        flat.Set(flat.Length(), static_cast<double>(index));
        flat.Set(flat.Length(), Napi::Buffer<char>::Copy(env, names.data(), names.size()));
      }
      out.Set("entries", columns->toJs(env));
      out.Set("counts", array);
      out.Set("rests", flat);
      return out;
    };
  });
}

// listChildren(root, path, names joined, withXattrs, cancellation) -> columns
Napi::Value listChildren(const Napi::CallbackInfo& info) {
  const std::string root = pathFromJs(info[0]);
  const std::string path = pathFromJs(info[1]);
  const auto buffer = info[2].As<Napi::Uint8Array>();
  const auto joined = std::make_shared<std::string>(reinterpret_cast<const char*>(buffer.Data()), buffer.ByteLength());
  const bool withXattrs = info[3].As<Napi::Boolean>();
  const auto cancellation = cancellationFromJs(info[4]);
  return runJob(info.Env(), cancellation, [=]() -> Delivery {
    auto columns = std::make_shared<Columns>();
    const Descriptor directory = openBeneath(openRoot(root).get(), path, O_RDONLY | O_DIRECTORY);
    if (!directory && errno != ENOENT && errno != ENOTDIR && errno != ELOOP) failErrno("open", path);
    if (directory) {
      const auto names = splitList(*joined);
      for (const auto& child : statChildren(directory.get(), path, {names.begin(), names.end()}, withXattrs)) {
        addScanned(*columns, child, joinPath(path, child.name));
      }
    }
    return [columns](Napi::Env env) { return columns->toJs(env); };
  });
}

}  // namespace

void defineListing(Napi::Env env, Napi::Object exports) {
  exports.Set("listDirectories", Napi::Function::New(env, listDirectories, "listDirectories"));
  exports.Set("listChildren", Napi::Function::New(env, listChildren, "listChildren"));
}

}  // namespace tsbuild

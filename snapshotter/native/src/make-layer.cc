#include <napi.h>
#include <sys/stat.h>

#include "copy-file.h"
#include "extract.h"
#include "failure.h"
#include "families.h"
#include "job.h"
#include "pack-items.h"
#include "path-bytes.h"
#include "source-files.h"

namespace tsbuild {

namespace {

// Makes the directory of a layer out of the entries that its tar is packed of: what unpacking that tar would make,
// because the same Extractor makes it, with the bytes copied from where they lie.
class LayerMaker {
 public:
  LayerMaker(const ExtractSettings& settings, CancellationPtr cancellation)
      : cancellation_(std::move(cancellation)), extractor_(settings, *cancellation_) {}

  void add(const std::vector<PackItem>& items) {
    for (const auto& item : items) {
      cancellation_->check();
      extractor_.apply(item.entry, [&](int file) { fill(item, file); });
    }
  }

  void finish() { extractor_.finish(); }

 private:
  void fill(const PackItem& item, int file) {
    if (item.sourceRoot.empty()) {
      writeBytes(file, item.content.data.get(), item.content.size, item.entry.path);
      return;
    }
    const Descriptor source = sources_.open(item);
    copyFileBytes(source.get(), file, item.entry.size, item.sourcePath, *cancellation_);
    struct stat stat;
    if (fstat(source.get(), &stat) != 0) failErrno("fstat", item.sourcePath);
    if (static_cast<uint64_t>(stat.st_size) != item.entry.size) failChanged(item, "changed its size");
  }

  const CancellationPtr cancellation_;
  Extractor extractor_;
  SourceFiles sources_;
};

// createMaker(root, userXattr, withOwners, cancellation) -> { add(batch): promise, finish(): promise }
// One call at a time.
Napi::Value createMaker(const Napi::CallbackInfo& info) {
  ExtractSettings settings;
  settings.root = pathFromJs(info[0]);
  settings.whiteouts = Whiteouts::overlay;
  settings.userXattr = info[1].As<Napi::Boolean>();
  settings.withOwners = info[2].As<Napi::Boolean>();
  const auto cancellation = cancellationFromJs(info[3]);
  return callNow(info, [&]() -> Napi::Value {
    const auto maker = std::make_shared<LayerMaker>(settings, cancellation);
    auto out = Napi::Object::New(info.Env());
    out.Set("add", Napi::Function::New(info.Env(), [maker, cancellation](const Napi::CallbackInfo& call) -> Napi::Value {
              const auto items = std::make_shared<std::vector<PackItem>>(packItemsFromJs(call[0].As<Napi::Object>()));
              return runJob(call.Env(), cancellation, [maker, items]() -> Delivery {
                maker->add(*items);
                return [](Napi::Env env) { return env.Undefined(); };
              });
            }));
    out.Set("finish", Napi::Function::New(info.Env(), [maker, cancellation](const Napi::CallbackInfo& call) -> Napi::Value {
              return runJob(call.Env(), cancellation, [maker]() -> Delivery {
                maker->finish();
                return [](Napi::Env env) { return env.Undefined(); };
              });
            }));
    return out;
  });
}

}  // namespace

void defineMaker(Napi::Env env, Napi::Object exports) {
  exports.Set("createMaker", Napi::Function::New(env, createMaker, "createMaker"));
}

}  // namespace tsbuild

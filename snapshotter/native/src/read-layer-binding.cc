#include <napi.h>

#include "extract-js.h"
#include "families.h"
#include "job.h"
#include "path-bytes.h"
#include "read-layer.h"

namespace tsbuild {

namespace {

Napi::Value outcomeToJs(Napi::Env env, const ReadOutcome& outcome) {
  auto out = Napi::Object::New(env);
  out.Set("digest", outcome.digest);
  out.Set("sizeBytes", static_cast<double>(outcome.size));
  out.Set("diffId", outcome.diffId);
  out.Set("uncompressedSizeBytes", static_cast<double>(outcome.uncompressedSize));
  out.Set("entries", outcome.entries.toJs(env));
  out.Set("implied", pathToJs(env, joinList(outcome.implied)));
  out.Set("isPlain", outcome.isPlain);
  if (outcome.newestFileSec) out.Set("newestFileSec", static_cast<double>(*outcome.newestFileSec));
  out.Set("skipped", skippedToJs(env, outcome.skipped));
  return out;
}

// readLayer({ blob, arrivingPath, arrivingSize, compression, digestsBlob, extractTo, listsEntries, contents, whiteouts,
// userXattr, withOwners, opensAll, contentSizeMax, entryCountMax }, cancellation)
Napi::Value readLayerFromJs(const Napi::CallbackInfo& info) {
  const auto options = info[0].As<Napi::Object>();
  const auto cancellation = cancellationFromJs(info[1]);
  ReadSettings settings;
  settings.blob.path = pathFromJs(options.Get("blob"));
  settings.blob.arriving.path = pathFromJs(options.Get("arrivingPath"));
  settings.blob.arriving.size = static_cast<uint64_t>(options.Get("arrivingSize").As<Napi::Number>().Int64Value());
  settings.blob.compression = pathFromJs(options.Get("compression"));
  settings.blob.isDigested = options.Get("digestsBlob").As<Napi::Boolean>();
  settings.extract.root = pathFromJs(options.Get("extractTo"));
  settings.extracts = !settings.extract.root.empty();
  settings.listsEntries = options.Get("listsEntries").As<Napi::Boolean>();
  settings.contents = pathFromJs(options.Get("contents"));
  settings.extract.whiteouts = whiteoutsFromJs(options.Get("whiteouts"));
  settings.extract.userXattr = options.Get("userXattr").As<Napi::Boolean>();
  settings.extract.withOwners = options.Get("withOwners").As<Napi::Boolean>();
  settings.extract.withDevices = settings.extract.withOwners;
  settings.extract.opensAll = options.Get("opensAll").As<Napi::Boolean>();
  settings.limits.contentSizeMax =
      static_cast<uint64_t>(options.Get("contentSizeMax").As<Napi::Number>().Int64Value());
  settings.blob.decodedSizeMax = settings.limits.contentSizeMax;
  settings.limits.entryCountMax =
      static_cast<uint64_t>(options.Get("entryCountMax").As<Napi::Number>().Int64Value());
  return runJob(info.Env(), cancellation, [settings, cancellation]() -> Delivery {
    const auto outcome = std::make_shared<ReadOutcome>(readLayer(settings, cancellation));
    return [outcome](Napi::Env env) { return outcomeToJs(env, *outcome); };
  });
}

}  // namespace

void defineReadLayer(Napi::Env env, Napi::Object exports) {
  exports.Set("readLayer", Napi::Function::New(env, readLayerFromJs, "readLayer"));
}

}  // namespace tsbuild

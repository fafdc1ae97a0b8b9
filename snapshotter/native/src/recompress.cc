#include <napi.h>

#include "blob-writer.h"
#include "codec.h"
#include "decoded-blob.h"
#include "families.h"
#include "job.h"
#include "path-bytes.h"

namespace tsbuild {

namespace {

struct RecompressSettings {
  BlobSource blob;
  std::string output;
  std::string compression;
  int level;
};

struct RecompressOutcome {
  BlobResult blob;
  std::string engine;
};

void copyInto(BlobWriter& writer, DecodedBlob& blob) {
  while (const SharedBytes bytes = blob.next()) writer.append(bytes->data.get(), bytes->size);
  writer.end();
}

RecompressOutcome run(const RecompressSettings& settings, const CancellationPtr& cancellation) {
  RecompressOutcome outcome;
  auto encoding = newEncoding(settings.compression, settings.level);
  outcome.engine = encoding ? encoding->engine() : "none";
  // Declared before the group, whose destructor waits for threads that use it.
  DecodedBlob blob(settings.blob, cancellation);
  BlobWriter writer(settings.output, std::move(encoding), "");
  const auto stop = [&] {
    blob.stop();
    writer.stop();
  };
  ThreadGroup group(stop);
  Cancellation::Subscription cancelled(*cancellation, stop);
  blob.start(group);
  writer.start(group);
  group.start([&] { copyInto(writer, blob); });
  group.join();
  cancellation->check();
  outcome.blob = writer.finish();
  return outcome;
}

Napi::Value outcomeToJs(Napi::Env env, const RecompressOutcome& outcome) {
  auto out = Napi::Object::New(env);
  out.Set("diffId", outcome.blob.diffId);
  out.Set("uncompressedSizeBytes", static_cast<double>(outcome.blob.uncompressedSize));
  out.Set("digest", outcome.blob.digest);
  out.Set("sizeBytes", static_cast<double>(outcome.blob.size));
  out.Set("takenOverBytes", static_cast<double>(outcome.blob.takenOverSize));
  out.Set("engine", outcome.engine);
  return out;
}

// recompress(blob, output, compression, level | -1, uncompressedSizeMax, cancellation)
Napi::Value recompress(const Napi::CallbackInfo& info) {
  RecompressSettings settings;
  settings.blob.path = pathFromJs(info[0]);
  // By its magic bytes.
  settings.blob.compression = "auto";
  settings.output = pathFromJs(info[1]);
  settings.compression = pathFromJs(info[2]);
  settings.level = info[3].As<Napi::Number>();
  settings.blob.decodedSizeMax = static_cast<uint64_t>(info[4].As<Napi::Number>().Int64Value());
  const auto cancellation = cancellationFromJs(info[5]);
  return runJob(info.Env(), cancellation, [settings, cancellation]() -> Delivery {
    const auto outcome = std::make_shared<RecompressOutcome>(run(settings, cancellation));
    return [outcome](Napi::Env env) { return outcomeToJs(env, *outcome); };
  });
}

}  // namespace

void defineRecompress(Napi::Env env, Napi::Object exports) {
  exports.Set("recompress", Napi::Function::New(env, recompress, "recompress"));
}

}  // namespace tsbuild

#include <napi.h>

#include "families.h"
#include "job.h"
#include "pack-items.h"
#include "pack.h"
#include "path-bytes.h"

namespace tsbuild {

namespace {

Napi::Value outcomeToJs(Napi::Env env, const PackOutcome& outcome) {
  auto out = Napi::Object::New(env);
  out.Set("diffId", outcome.blob.diffId);
  out.Set("uncompressedSizeBytes", static_cast<double>(outcome.blob.uncompressedSize));
  out.Set("digest", outcome.blob.digest);
  out.Set("sizeBytes", static_cast<double>(outcome.blob.size));
  out.Set("takenOverBytes", static_cast<double>(outcome.blob.takenOverSize));
  out.Set("engine", outcome.engine);
  out.Set("fileDigests", outcome.fileDigests);
  return out;
}

// createPacker(output | "", compression, level | -1, cancellation, drained, contents | "", partsTable | "") -> { add(batch): hasRoom, end(), done }
Napi::Value createPacker(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  PackSettings settings;
  settings.output = pathFromJs(info[0]);
  settings.compression = pathFromJs(info[1]);
  settings.level = info[2].As<Napi::Number>();
  if (info[5].IsString()) settings.contents = pathFromJs(info[5]);
  settings.partsTable = pathFromJs(info[6]);
  const auto cancellation = cancellationFromJs(info[3]);
  auto drained = Napi::ThreadSafeFunction::New(env, info[4].As<Napi::Function>(), "tsbuild packer", 0, 1);
  const auto packer = std::make_shared<Packer>(settings, cancellation, [drained] { drained.BlockingCall(); });

  auto out = Napi::Object::New(env);
  out.Set("add", Napi::Function::New(env, [packer](const Napi::CallbackInfo& call) -> Napi::Value {
            return Napi::Boolean::New(call.Env(), packer->add(packItemsFromJs(call[0].As<Napi::Object>())));
          }));
  out.Set("end", Napi::Function::New(env, [packer](const Napi::CallbackInfo&) { packer->end(); }));
  out.Set("done", runJob(env, cancellation, [packer, drained]() mutable -> Delivery {
            // Released when the packing is over, however it ends: an unreleased one would keep the process alive.
            struct Release {
              Napi::ThreadSafeFunction& function;
              ~Release() { function.Release(); }
            } release{drained};
            const auto outcome = std::make_shared<PackOutcome>(packer->run());
            return [outcome](Napi::Env deliveryEnv) { return outcomeToJs(deliveryEnv, *outcome); };
          }));
  return out;
}

}  // namespace

void definePacker(Napi::Env env, Napi::Object exports) {
  exports.Set("createPacker", Napi::Function::New(env, createPacker, "createPacker"));
}

}  // namespace tsbuild

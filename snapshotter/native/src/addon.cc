#include <napi.h>

#include "families.h"
#include "job.h"

namespace tsbuild {

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  defineCancellation(env, exports);
  defineScan(env, exports);
  defineListing(env, exports);
  defineTreeState(env, exports);
  defineHashFiles(env, exports);
  definePacker(env, exports);
  defineMaker(env, exports);
  defineReadLayer(env, exports);
  defineRecompress(env, exports);
  defineTrees(env, exports);
  defineCalls(env, exports);
  return exports;
}

}  // namespace tsbuild

static Napi::Object initTsbuild(Napi::Env env, Napi::Object exports) { return tsbuild::init(env, exports); }

NODE_API_MODULE(tsbuild, initTsbuild)

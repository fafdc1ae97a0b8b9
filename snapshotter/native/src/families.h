#pragma once

#include <napi.h>

namespace tsbuild {

// Each adds one family of functions to the addon's exports.
void defineScan(Napi::Env env, Napi::Object exports);
void defineListing(Napi::Env env, Napi::Object exports);
void defineTreeState(Napi::Env env, Napi::Object exports);
void defineHashFiles(Napi::Env env, Napi::Object exports);
void definePacker(Napi::Env env, Napi::Object exports);
void defineMaker(Napi::Env env, Napi::Object exports);
void defineReadLayer(Napi::Env env, Napi::Object exports);
void defineRecompress(Napi::Env env, Napi::Object exports);
void defineTrees(Napi::Env env, Napi::Object exports);
void defineCalls(Napi::Env env, Napi::Object exports);

}  // namespace tsbuild

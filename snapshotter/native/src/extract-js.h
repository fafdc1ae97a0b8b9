#pragma once

#include <napi.h>

#include <vector>

#include "extract.h"

namespace tsbuild {

Whiteouts whiteoutsFromJs(const Napi::Value& value);
Napi::Array skippedToJs(Napi::Env env, const std::vector<Skipped>& skipped);

}  // namespace tsbuild

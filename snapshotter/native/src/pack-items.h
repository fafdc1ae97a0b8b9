#pragma once

#include <napi.h>

#include <vector>

#include "pack-item.h"

namespace tsbuild {

// The batch as encodePackEntries of native/pack-columns.ts makes it.
std::vector<PackItem> packItemsFromJs(const Napi::Object& batch);

}  // namespace tsbuild

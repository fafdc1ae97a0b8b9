#pragma once

#include <string>

#include "cancellation.h"

namespace tsbuild {

// Copies what is in `source` into the directory `dest` (made when missing), with all metadata, that of `source` itself
// included. Hard links within the tree stay hard links; mounts are not entered. Throws Failure.
void copyTree(const std::string& source, const std::string& dest, const Cancellation& cancellation);

}  // namespace tsbuild

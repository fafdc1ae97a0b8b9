#pragma once

#include <string>
#include <string_view>

#include "cancellation.h"

namespace tsbuild {

// Removes `name` in `dirfd` and all below it. No symlink is followed, no mount is entered; directories that refuse are
// made writable. Missing is fine. `path` is `name` for people. Throws Failure.
void removeAt(int dirfd, const std::string& name, std::string_view path, const Cancellation& cancellation);

}  // namespace tsbuild

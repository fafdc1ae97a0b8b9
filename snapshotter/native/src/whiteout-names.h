#pragma once

#include <optional>

#include "tar-entry.h"

namespace tsbuild {

// What a name means under the white-out rules of image layers (image-spec, layer.md, "Whiteouts"). Nothing for the
// bookkeeping files of aufs, which old layers carry. Failure `bad-archive` for what means nothing.
std::optional<TarEntry> asLayerEntry(TarEntry entry);

}  // namespace tsbuild

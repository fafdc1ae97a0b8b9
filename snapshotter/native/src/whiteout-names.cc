#include "whiteout-names.h"

#include <string>
#include <string_view>

#include "failure.h"
#include "resolve.h"

namespace tsbuild {

std::optional<TarEntry> asLayerEntry(TarEntry entry) {
  const auto fail = [&](const char* reason) { failCode("bad-archive", entry.path, reason); };
  const SplitPath split = splitPath(entry.path);
  for (std::string_view rest = split.parent; !rest.empty(); rest = splitPath(rest).parent) {
    const std::string_view component = splitPath(rest).base;
    if (component.rfind(whiteoutPrefix, 0) != 0) continue;
    if (component.rfind(".wh..wh.", 0) == 0) return std::nullopt;
    fail("a parent of it is a whiteout");
  }
  if (split.base.rfind(whiteoutPrefix, 0) != 0) return entry;
  const std::string parent(split.parent);
  if (split.base == opaqueMarker) {
    TarEntry opaque;
    opaque.type = EntryType::opaque;
    opaque.path = parent;
    return opaque;
  }
  const std::string_view hidden = split.base.substr(whiteoutPrefix.size());
  if (hidden.rfind(".wh.", 0) == 0) return std::nullopt;
  if (hidden.empty() || hidden == "." || hidden == "..") fail("it is a whiteout of nothing");
  TarEntry whiteout;
  whiteout.type = EntryType::whiteout;
  whiteout.path = parent.empty() ? std::string(hidden) : parent + "/" + std::string(hidden);
  return whiteout;
}

}  // namespace tsbuild

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tsbuild {

// Values as tar headers and PAX records write them. Nothing when the text is not such a value.

// Octal, or base-256 (GNU) when the first bit is set.
std::optional<int64_t> parseTarNumber(std::string_view field);
std::optional<uint64_t> parseDecimal(std::string_view text);
// Seconds of a PAX time, rounded down: `-1.5` is -2.
std::optional<int64_t> parsePaxTime(std::string_view text);
// Up to the first NUL.
std::string_view parseTarText(std::string_view field);
// The checksum of a header block, whose own field counts as blanks. Some old writers summed signed bytes.
bool tarChecksumMatches(const char* block);

// A name as LayerPath; nothing when it has a ".." component.
std::optional<std::string> normalisePath(std::string_view name);

}  // namespace tsbuild

#pragma once

#include <napi.h>

#include <string>
#include <string_view>
#include <vector>

namespace tsbuild {

// Paths are bytes to the kernel and strings to JavaScript: bytes that are not UTF-8 are lone surrogates
// U+DC80..U+DCFF, one per byte, as in snapshotter/layer/path-bytes.ts.
std::u16string decodePath(std::string_view bytes);
std::string encodePath(std::u16string_view text);

// A Value, because Napi::Object::Set would turn a Napi::String into UTF-8 and back.
Napi::Value pathToJs(Napi::Env env, std::string_view bytes);
std::string pathFromJs(const Napi::Value& value);

// Lists of strings cross the boundary as one string with NUL after each element: one call instead of thousands.
std::vector<std::string> splitList(std::string_view joined);
std::string joinList(const std::vector<std::string>& parts);

// Length of the well-formed UTF-8 sequence at `at` (Unicode table 3-7), 0 when there is none.
size_t utf8SequenceLength(std::string_view s, size_t at);

// Below zero when `a` comes first: by components, so a slash sorts before every byte that a name can have.
int comparePaths(std::string_view a, std::string_view b);

bool isAscii(std::string_view bytes);

}  // namespace tsbuild

#include "tar-fields.h"

#include "tar-entry.h"

namespace tsbuild {

namespace {

std::optional<int64_t> parseBase256(std::string_view field) {
  const bool isNegative = (static_cast<unsigned char>(field[0]) & 0x40) != 0;
  // Two's complement over the whole field without its first bit.
  uint64_t value = isNegative ? ~0ull : 0;
  for (size_t i = 0; i < field.size(); i++) {
    unsigned byte = static_cast<unsigned char>(field[i]);
    if (i == 0) byte = isNegative ? byte | 0x80 : byte & 0x7f;
    const unsigned dropped = static_cast<unsigned>(value >> 56);
    if (dropped != (isNegative ? 0xffu : 0u)) return std::nullopt;
    value = (value << 8) | byte;
  }
  if ((static_cast<int64_t>(value) < 0) != isNegative) return std::nullopt;
  return static_cast<int64_t>(value);
}

}  // namespace

std::optional<int64_t> parseTarNumber(std::string_view field) {
  if ((static_cast<unsigned char>(field[0]) & 0x80) != 0) return parseBase256(field);
  size_t at = 0;
  while (at < field.size() && (field[at] == ' ' || field[at] == '\0')) at++;
  uint64_t value = 0;
  for (; at < field.size() && field[at] >= '0' && field[at] <= '7'; at++) {
    value = (value << 3) | static_cast<unsigned>(field[at] - '0');
  }
  for (; at < field.size(); at++) {
    if (field[at] != ' ' && field[at] != '\0') return std::nullopt;
  }
  // 12 digits are 36 bits.
  return static_cast<int64_t>(value);
}

std::optional<uint64_t> parseDecimal(std::string_view text) {
  if (text.empty() || text.size() > 19) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  if (value > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return value;
}

std::optional<int64_t> parsePaxTime(std::string_view text) {
  const bool isNegative = !text.empty() && text[0] == '-';
  if (isNegative) text.remove_prefix(1);
  const size_t dot = text.find('.');
  const std::string_view fraction = dot == std::string_view::npos ? "" : text.substr(dot + 1);
  const auto seconds = parseDecimal(text.substr(0, dot));
  if (!seconds || fraction.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  const auto value = static_cast<int64_t>(*seconds);
  if (!isNegative) return value;
  const bool hasFraction = fraction.find_first_not_of('0') != std::string_view::npos;
  return -value - (hasFraction ? 1 : 0);
}

std::string_view parseTarText(std::string_view field) { return field.substr(0, field.find('\0')); }

bool tarChecksumMatches(const char* block) {
  const auto stated = parseTarNumber(std::string_view(block + 148, 8));
  int64_t sum = 0;
  int64_t signedSum = 0;
  for (size_t i = 0; i < tarBlockSize; i++) {
    const char byte = i >= 148 && i < 156 ? ' ' : block[i];
    sum += static_cast<unsigned char>(byte);
    signedSum += static_cast<signed char>(byte);
  }
  return stated && (*stated == sum || *stated == signedSum);
}

std::optional<std::string> normalisePath(std::string_view name) {
  std::string out;
  out.reserve(name.size());
  for (size_t at = 0; at < name.size();) {
    const size_t end = std::min(name.find('/', at), name.size());
    const std::string_view component = name.substr(at, end - at);
    at = end + 1;
    if (component.empty() || component == ".") continue;
    if (component == "..") return std::nullopt;
    if (!out.empty()) out += '/';
    out += component;
  }
  return out;
}

}  // namespace tsbuild

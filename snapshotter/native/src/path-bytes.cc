#include "path-bytes.h"

#include <algorithm>
#include <cstring>

namespace tsbuild {

namespace {

void appendUtf8(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3f));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  }
}

}  // namespace

size_t utf8SequenceLength(std::string_view s, size_t at) {
  const auto byte = [&](size_t i) -> unsigned {
    return at + i < s.size() ? static_cast<unsigned char>(s[at + i]) : 0u;
  };
  const auto continues = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return continues(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    if (!continues(1) || !continues(2)) return 0;
    if (lead == 0xe0 && byte(1) < 0xa0) return 0;
    if (lead == 0xed && byte(1) > 0x9f) return 0;
    return 3;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    if (lead == 0xf0 && byte(1) < 0x90) return 0;
    if (lead == 0xf4 && byte(1) > 0x8f) return 0;
    return 4;
  }
  return 0;
}

int comparePaths(std::string_view a, std::string_view b) {
  const size_t common = std::min(a.size(), b.size());
  for (size_t i = 0; i < common; i++) {
    if (a[i] == b[i]) continue;
    const auto rank = [](char byte) { return byte == '/' ? 0 : static_cast<unsigned char>(byte); };
    return rank(a[i]) - rank(b[i]);
  }
  return a.size() < b.size() ? -1 : (a.size() > b.size() ? 1 : 0);
}

bool isAscii(std::string_view bytes) {
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    if (word & 0x8080808080808080ull) return false;
  }
  for (; i < bytes.size(); i++) {
    if (static_cast<unsigned char>(bytes[i]) >= 0x80) return false;
  }
  return true;
}

std::u16string decodePath(std::string_view s) {
  std::u16string out;
  out.reserve(s.size());
  for (size_t i = 0; i < s.size();) {
    const auto byte = [&](size_t k) { return static_cast<char32_t>(static_cast<unsigned char>(s[i + k])); };
    const size_t length = utf8SequenceLength(s, i);
    if (length == 0) {
      out += static_cast<char16_t>(0xdc00 + byte(0));
      i += 1;
      continue;
    }
    char32_t c = byte(0);
    if (length == 2) c = ((c & 0x1f) << 6) | (byte(1) & 0x3f);
    if (length == 3) c = ((c & 0x0f) << 12) | ((byte(1) & 0x3f) << 6) | (byte(2) & 0x3f);
    if (length == 4) {
      c = ((c & 0x07) << 18) | ((byte(1) & 0x3f) << 12) | ((byte(2) & 0x3f) << 6) | (byte(3) & 0x3f);
      c -= 0x10000;
      out += static_cast<char16_t>(0xd800 + (c >> 10));
      out += static_cast<char16_t>(0xdc00 + (c & 0x3ff));
    } else {
      out += static_cast<char16_t>(c);
    }
    i += length;
  }
  return out;
}

std::string encodePath(std::u16string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); i++) {
    const char32_t unit = text[i];
    if (unit < 0xd800 || unit > 0xdfff) {
      appendUtf8(out, unit);
    } else if (unit < 0xdc00 && i + 1 < text.size() && text[i + 1] >= 0xdc00 && text[i + 1] <= 0xdfff) {
      appendUtf8(out, 0x10000 + ((unit - 0xd800) << 10) + (text[i + 1] - 0xdc00u));
      i += 1;
    } else if (unit >= 0xdc80 && unit <= 0xdcff) {
      out += static_cast<char>(unit - 0xdc00);
    } else {
      // Any other lone surrogate names no byte: U+FFFD, as everywhere in Node.
      appendUtf8(out, 0xfffd);
    }
  }
  return out;
}

Napi::Value pathToJs(Napi::Env env, std::string_view bytes) {
  napi_value value = nullptr;
  napi_status status;
  if (isAscii(bytes)) {
    status = napi_create_string_latin1(env, bytes.data(), bytes.size(), &value);
  } else {
    const std::u16string text = decodePath(bytes);
    status = napi_create_string_utf16(env, text.data(), text.size(), &value);
  }
  if (status != napi_ok) throw Napi::Error::New(env, "could not make a string: too long");
  return Napi::Value(env, value);
}

std::string pathFromJs(const Napi::Value& value) {
  return encodePath(value.As<Napi::String>().Utf16Value());
}

std::vector<std::string> splitList(std::string_view joined) {
  std::vector<std::string> out;
  for (size_t at = 0; at < joined.size();) {
    const size_t end = joined.find('\0', at);
    if (end == std::string_view::npos) break;
    out.emplace_back(joined.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

std::string joinList(const std::vector<std::string>& parts) {
  std::string out;
  for (const auto& part : parts) {
    out += part;
    out += '\0';
  }
  return out;
}

}  // namespace tsbuild

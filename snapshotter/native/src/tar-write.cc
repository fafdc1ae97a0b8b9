#include "tar-write.h"

#include <cstring>
#include <map>

#include "failure.h"
#include "path-bytes.h"
#include "resolve.h"

// Format: POSIX.1-2017 pax(1), "ustar Interchange Format" and "pax Header Block"; xattrs as SCHILY.xattr.* of star(1).
namespace tsbuild {

namespace {

struct Field {
  size_t offset;
  size_t size;
};
constexpr Field nameField = {0, 100};
constexpr Field modeField = {100, 8};
constexpr Field uidField = {108, 8};
constexpr Field gidField = {116, 8};
constexpr Field sizeField = {124, 12};
constexpr Field mtimeField = {136, 12};
constexpr Field checksumField = {148, 8};
constexpr size_t typeOffset = 156;
constexpr Field linkField = {157, 100};
constexpr size_t magicOffset = 257;
constexpr Field majorField = {329, 8};
constexpr Field minorField = {337, 8};
constexpr Field prefixField = {345, 155};

class HeaderBlock {
 public:
  explicit HeaderBlock(char type) {
    std::memset(bytes_, 0, sizeof(bytes_));
    bytes_[typeOffset] = type;
    std::memcpy(bytes_ + magicOffset, "ustar\0" "00", 8);
  }

  void text(Field field, std::string_view value) { std::memcpy(bytes_ + field.offset, value.data(), value.size()); }

  // Octal digits and a NUL, as ustar wants them.
  void number(Field field, uint64_t value) {
    bytes_[field.offset + field.size - 1] = 0;
    for (size_t i = field.size - 1; i > 0; i--) {
      bytes_[field.offset + i - 1] = static_cast<char>('0' + (value & 7));
      value >>= 3;
    }
  }

  std::string finish() {
    std::memset(bytes_ + checksumField.offset, ' ', checksumField.size);
    unsigned sum = 0;
    for (const char byte : bytes_) sum += static_cast<unsigned char>(byte);
    number({checksumField.offset, 7}, sum);
    return std::string(bytes_, sizeof(bytes_));
  }

 private:
  char bytes_[tarBlockSize];
};

uint64_t numberMax(Field field) { return (1ull << (3 * (field.size - 1))) - 1; }

// `<length> <key>=<value>\n`, the length counting itself.
std::string paxRecord(std::string_view key, std::string_view value) {
  const size_t rest = 1 + key.size() + 1 + value.size() + 1;
  size_t length = rest + 1;
  while (std::to_string(length).size() + rest != length) length = std::to_string(length).size() + rest;
  std::string out = std::to_string(length);
  out += ' ';
  out += key;
  out += '=';
  out += value;
  out += '\n';
  return out;
}

// Something readable for readers that know no PAX.
std::string asciiName(std::string_view value, size_t sizeMax) {
  std::string out;
  for (const char c : value) {
    if (static_cast<unsigned char>(c) < 0x80) out += c;
  }
  out.resize(std::min(out.size(), sizeMax));
  while (!out.empty() && out.back() == '/') out.pop_back();
  return out;
}

// Puts a name into the name and prefix fields; false when it does not fit.
bool putName(HeaderBlock& header, std::string_view name) {
  if (!isAscii(name)) return false;
  if (name.size() <= nameField.size) {
    header.text(nameField, name);
    return true;
  }
  if (name.size() > prefixField.size + 1 + nameField.size) return false;
  // A directory's own trailing slash is no place to cut.
  const size_t slash = name.rfind('/', std::min(prefixField.size, name.size() - 2));
  if (slash == std::string_view::npos || slash == 0 || name.size() - slash - 1 > nameField.size) return false;
  header.text(prefixField, name.substr(0, slash));
  header.text(nameField, name.substr(slash + 1));
  return true;
}

class Headers {
 public:
  Headers(char type, const TarEntry& entry) : main_(type), entry_(entry) {}

  void name(const std::string& name) {
    if (putName(main_, name)) return;
    pax_["path"] = name;
    main_.text(nameField, asciiName(name, nameField.size));
  }

  void link(const std::string& target) {
    if (target.size() > linkField.size || !isAscii(target)) pax_["linkpath"] = target;
    main_.text(linkField, target.size() > linkField.size || !isAscii(target)
                              ? asciiName(target, linkField.size)
                              : target);
  }

  void number(Field field, const char* key, uint64_t value) {
    const bool fits = value <= numberMax(field);
    if (!fits) pax_[key] = std::to_string(value);
    main_.number(field, fits ? value : 0);
  }

  void mtime(int64_t seconds) {
    const bool fits = seconds >= 0 && static_cast<uint64_t>(seconds) <= numberMax(mtimeField);
    if (!fits) pax_["mtime"] = std::to_string(seconds);
    main_.number(mtimeField, fits ? static_cast<uint64_t>(seconds) : 0);
  }

  void xattrs(const std::vector<Xattr>& attributes) {
    for (const auto& attribute : attributes) {
      if (attribute.name.empty() || attribute.name.find('=') != std::string::npos) {
        failCode("bad-entry", entry_.path, "a tar cannot hold an extended attribute named '" + attribute.name + "'");
      }
      pax_["SCHILY.xattr." + attribute.name] = attribute.value;
    }
  }

  void devices(uint32_t major, uint32_t minor) {
    if (major > numberMax(majorField) || minor > numberMax(minorField)) {
      failCode("bad-entry", entry_.path, "a tar cannot hold its device number");
    }
    main_.number(majorField, major);
    main_.number(minorField, minor);
  }

  HeaderBlock& main() { return main_; }

  std::string finish() {
    std::string out;
    if (!pax_.empty()) out = paxBlocks();
    return out + main_.finish();
  }

 private:
  std::string paxBlocks() {
    std::string records;
    for (const auto& [key, value] : pax_) records += paxRecord(key, value);
    HeaderBlock header('x');
    header.text(nameField, "PaxHeaders.0/" + asciiName(splitPath(entry_.path).base, nameField.size - 13));
    header.number(modeField, 0);
    header.number(uidField, 0);
    header.number(gidField, 0);
    header.number(sizeField, records.size());
    header.number(mtimeField, 0);
    const size_t padding = tarPadding(records.size());
    return header.finish() + records + std::string(padding, '\0');
  }

  HeaderBlock main_;
  const TarEntry& entry_;
  // Sorted, so that equal entries give equal bytes.
  std::map<std::string, std::string> pax_;
};

char typeflag(EntryType type) {
  switch (type) {
    case EntryType::hardlink:
      return '1';
    case EntryType::symlink:
      return '2';
    case EntryType::charDevice:
      return '3';
    case EntryType::blockDevice:
      return '4';
    case EntryType::dir:
      return '5';
    case EntryType::fifo:
      return '6';
    default:
      return '0';
  }
}

void checkPath(std::string_view path, const TarEntry& entry) {
  if (path.empty()) return;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view component = path.substr(at, end - at);
    if (component.empty() || component == "." || component == "..") {
      failCode("bad-entry", entry.path, "its path is not normalised");
    }
    if (component.rfind(whiteoutPrefix, 0) == 0) {
      failCode("reserved-name", entry.path, "names that begin with '.wh.' mean removal in image layers");
    }
    at = end + 1;
  }
}

std::string nameInTar(const TarEntry& entry) {
  switch (entry.type) {
    case EntryType::dir:
      return entry.path.empty() ? "./" : entry.path + "/";
    case EntryType::whiteout: {
      const SplitPath split = splitPath(entry.path);
      const std::string parent = split.parent.empty() ? "" : std::string(split.parent) + "/";
      return parent + std::string(whiteoutPrefix) + std::string(split.base);
    }
    case EntryType::opaque:
      return (entry.path.empty() ? "" : entry.path + "/") + std::string(opaqueMarker);
    default:
      return entry.path;
  }
}

}  // namespace

std::string tarHeader(const TarEntry& entry) {
  checkPath(entry.path, entry);
  const bool mayBeRoot = entry.type == EntryType::dir || entry.type == EntryType::opaque;
  if (entry.path.empty() && !mayBeRoot) failCode("bad-entry", "", "the root can only be a directory");
  Headers headers(typeflag(entry.type), entry);
  headers.name(nameInTar(entry));
  if (entry.type == EntryType::hardlink) checkPath(entry.target, entry);
  if (entry.type == EntryType::hardlink || entry.type == EntryType::symlink) {
    if (entry.target.empty()) failCode("bad-entry", entry.path, "its target is empty");
    headers.link(entry.target);
  }
  headers.main().number(modeField, entry.mode & 07777);
  headers.number(uidField, "uid", entry.uid);
  headers.number(gidField, "gid", entry.gid);
  headers.number(sizeField, "size", entry.type == EntryType::file ? entry.size : 0);
  headers.mtime(entry.mtimeSec);
  headers.devices(entry.major, entry.minor);
  headers.xattrs(entry.xattrs);
  return headers.finish();
}

}  // namespace tsbuild

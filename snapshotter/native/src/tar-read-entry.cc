#include <cstring>
#include <optional>

#include "tar-fields.h"
#include "tar-header.h"
#include "tar-read.h"

// What a header and its PAX records say of an entry.
namespace tsbuild {

namespace {

constexpr uint64_t idMax = 0xfffffffe;
// Deeper than any tree that can be used; without a limit one name of 1 MiB makes half a million directories.
constexpr size_t pathSizeMax = 32 * 1024;

// Nothing for what no dialect has.
std::optional<EntryType> typeOf(char typeflag) {
  switch (typeflag) {
    case '0':
    case '\0':
    case '7':
    case 'S':
      return EntryType::file;
    case '1':
      return EntryType::hardlink;
    case '2':
      return EntryType::symlink;
    case '3':
      return EntryType::charDevice;
    case '4':
      return EntryType::blockDevice;
    case '5':
      return EntryType::dir;
    case '6':
      return EntryType::fifo;
    default:
      return std::nullopt;
  }
}

}  // namespace

void TarReader::parsePax(const std::string& text, Pax* pax) {
  for (size_t at = 0; at < text.size();) {
    const size_t blank = text.find(' ', at);
    if (blank == std::string::npos || blank - at > 7) fail("a PAX record has no length");
    const auto length = parseDecimal(std::string_view(text).substr(at, blank - at));
    const size_t prefix = blank + 1 - at;
    if (!length || *length <= prefix + 2 || *length > text.size() - at) fail("a PAX record has a wrong length");
    const std::string_view record = std::string_view(text).substr(blank + 1, *length - prefix);
    const size_t equals = record.find('=');
    if (record.back() != '\n' || equals == std::string_view::npos || equals == 0) fail("a PAX record is malformed");
    const std::string key(record.substr(0, equals));
    const std::string value(record.substr(equals + 1, record.size() - equals - 2));
    if (key.rfind("SCHILY.xattr.", 0) != 0 && (key + value).find('\0') != std::string::npos) {
      fail("the PAX record '" + key + "' has a NUL");
    }
    if (key == "GNU.sparse.offset" || key == "GNU.sparse.numbytes") pax->sparseParts.push_back(value);
    pax->records[key] = value;
    at += *length;
  }
}

TarEntry TarReader::makeEntry(const Header& header, const Pax& pax) {
  const auto number = [&](size_t offset, size_t size, const char* what) {
    const auto value = parseTarNumber(header.field(offset, size));
    if (!value) fail(std::string("its ") + what + " is not a number");
    return *value;
  };
  const auto id = [&](size_t offset, const char* what) {
    const int64_t value = number(offset, 8, what);
    if (value < 0) fail(std::string("its ") + what + " is negative");
    return static_cast<uint64_t>(value);
  };
  TarEntry entry;
  entry.path = header.name();
  entry.target = parseTarText(header.field(157, 100));
  entry.mode = static_cast<uint32_t>(number(100, 8, "mode")) & 07777;
  entry.uid = id(108, "user id");
  entry.gid = id(116, "group id");
  const int64_t size = number(124, 12, "size");
  if (size < 0) fail("its size is negative");
  entry.size = static_cast<uint64_t>(size);
  entry.mtimeSec = number(136, 12, "time");
  const bool isDevice = header.type() == '3' || header.type() == '4';
  if (isDevice) {
    const auto major = id(329, "device number");
    const auto minor = id(337, "device number");
    if (major > 0xfff || minor > 0xfffff) fail("its device number is out of range");
    entry.major = static_cast<uint32_t>(major);
    entry.minor = static_cast<uint32_t>(minor);
  }
  applyPax(pax, &entry);
  name_ = entry.path;
  finishEntry(&entry, header.type());
  storedLeft_ = entry.size;
  paddingLeft_ = (tarBlockSize - storedLeft_ % tarBlockSize) % tarBlockSize;
  isSparse_ = false;
  sparse_.clear();
  applySparse(header, pax, &entry);
  contentSize_ = entry.size;
  contentTotal_ += entry.size;
  if (contentTotal_ > limits_.contentSizeMax) {
    fail("its contents are larger than the limit of " + std::to_string(limits_.contentSizeMax) + " bytes");
  }
  entryCount_ += 1;
  if (entryCount_ > limits_.entryCountMax) {
    fail("it has more than " + std::to_string(limits_.entryCountMax) + " entries");
  }
  return entry;
}

void TarReader::applyPax(const Pax& pax, TarEntry* entry) {
  for (const auto& [key, value] : pax.records) {
    const auto decimal = [&, &name = key, &text = value] {
      const auto parsed = parseDecimal(text);
      if (!parsed) fail("its PAX record '" + name + "' is not a number");
      return *parsed;
    };
    // An empty value takes the record back (pax(1)): the header's own value holds.
    if (value.empty() && key.rfind("SCHILY.xattr.", 0) != 0) continue;
    if (key == "path") {
      entry->path = value;
    } else if (key == "linkpath") {
      entry->target = value;
    } else if (key == "size") {
      entry->size = decimal();
    } else if (key == "uid") {
      entry->uid = decimal();
    } else if (key == "gid") {
      entry->gid = decimal();
    } else if (key == "mtime") {
      const auto seconds = parsePaxTime(value);
      if (!seconds) fail("its PAX time is malformed");
      entry->mtimeSec = *seconds;
    } else if (key.rfind("SCHILY.xattr.", 0) == 0) {
      const std::string name = key.substr(std::strlen("SCHILY.xattr."));
      if (name.empty()) fail("it has an extended attribute without a name");
      if (name.find('\0') != std::string::npos) fail("the name of an extended attribute has a NUL");
      entry->xattrs.push_back({name, value});
    }
  }
}

// Type, names and ids that are the same for every dialect.
void TarReader::finishEntry(TarEntry* entry, char typeflag) {
  const bool endsInSlash = !entry->path.empty() && entry->path.back() == '/';
  const auto known = typeOf(typeflag);
  if (!known) fail(std::string("it has the unknown type '") + typeflag + "'");
  entry->type = *known;
  // v7 had no type for directories.
  if (entry->type == EntryType::file && endsInSlash) {
    if (entry->size != 0) fail("it is a directory with content");
    entry->type = EntryType::dir;
  }
  // Only files have content; other types carry a size with no meaning in old archives (pax(1), size).
  if (entry->type != EntryType::file) entry->size = 0;
  const auto path = normalisePath(entry->path);
  if (!path) fail("its name has a '..' component");
  entry->path = *path;
  if (entry->path.size() > pathSizeMax || entry->target.size() > pathSizeMax) fail("its name is too long");
  if (entry->path.empty() && entry->type != EntryType::dir) fail("its name is empty");
  if (entry->uid > idMax || entry->gid > idMax) fail("its user or group id is out of range");
  if (entry->type == EntryType::hardlink) {
    const auto target = normalisePath(entry->target);
    if (!target || target->empty()) fail("it is a hard link to '" + entry->target + "'");
    entry->target = *target;
  } else if (entry->type == EntryType::symlink) {
    if (entry->target.empty()) fail("it is a symbolic link without target");
  } else {
    entry->target.clear();
  }
}

}  // namespace tsbuild

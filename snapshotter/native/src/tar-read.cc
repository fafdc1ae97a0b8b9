#include "tar-read.h"

#include <algorithm>
#include <cstring>

#include "failure.h"
#include "tar-fields.h"
#include "tar-header.h"

namespace tsbuild {

namespace {

// Real PAX headers are a few hundred bytes; an xattr holds at most 64 KiB.
constexpr uint64_t metaSizeMax = 1024 * 1024;
constexpr uint64_t idMax = 0xfffffffe;
// Deeper than any tree that can be used; without a limit one name of 1 MiB makes half a million directories.
constexpr size_t pathSizeMax = 32 * 1024;

}  // namespace

void TarReader::fail(const std::string& reason) const { failCode("bad-archive", name_, reason); }

// Fewer bytes than a block only at the end of the archive.
size_t TarReader::readBlock(char* to) {
  size_t done = 0;
  while (done < tarBlockSize) {
    const ByteSpan part = take_(tarBlockSize - done);
    if (part.size == 0) break;
    std::memcpy(to + done, part.data, part.size);
    done += part.size;
  }
  return done;
}

// False at the end of the archive.
bool TarReader::readHeader(Header* header) {
  char* const bytes = header->bytes;
  const auto isZero = [&] {
    return std::all_of(bytes, bytes + tarBlockSize, [](char byte) { return byte == 0; });
  };
  const size_t size = readBlock(bytes);
  // Some writers leave out the two zero blocks; the end is still at a boundary.
  if (size == 0) return false;
  if (size < tarBlockSize) fail("it ends in the middle of a header");
  if (isZero()) {
    const size_t second = readBlock(bytes);
    if (second == 0 || (second == tarBlockSize && isZero())) return false;
    fail("a single zero block is followed by something else");
  }
  if (!tarChecksumMatches(header->bytes)) fail("a header's checksum is wrong");
  return true;
}

// The content of a header that only describes the next one.
std::string TarReader::readMeta(const Header& header) {
  const auto size = parseTarNumber(header.field(124, 12));
  if (!size || *size < 0 || static_cast<uint64_t>(*size) > metaSizeMax) {
    fail("an extended header is larger than 1 MiB");
  }
  std::string out;
  storedLeft_ = static_cast<uint64_t>(*size);
  paddingLeft_ = (tarBlockSize - storedLeft_ % tarBlockSize) % tarBlockSize;
  copyStored(storedLeft_, [&](const uint8_t* data, size_t part) {
    out.append(reinterpret_cast<const char*>(data), part);
  });
  skipStored();
  return out;
}

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

std::optional<TarEntry> TarReader::next() {
  skipStored();
  name_.clear();
  Pax pax = global_;
  std::string longName;
  std::string longLink;
  bool hasMeta = false;
  for (;;) {
    Header header;
    if (!readHeader(&header)) {
      if (hasMeta) fail("it ends after an extended header");
      return std::nullopt;
    }
    name_ = header.name();
    switch (header.type()) {
      case 'x':
      case 'X':
        parsePax(readMeta(header), &pax);
        hasMeta = true;
        continue;
      case 'g':
        parsePax(readMeta(header), &global_);
        for (const char* key : {"path", "linkpath", "size"}) {
          if (global_.records.count(key) != 0) fail(std::string("a global header sets ") + key);
        }
        if (hasMeta) fail("a global header stands between a header and its entry");
        pax = global_;
        continue;
      case 'L':
        longName = parseTarText(readMeta(header));
        hasMeta = true;
        continue;
      case 'K':
        longLink = parseTarText(readMeta(header));
        hasMeta = true;
        continue;
      case 'V':
        // A volume label (GNU) has no content.
        continue;
      default:
        break;
    }
    if (!longName.empty() && pax.records.count("path") != 0) fail("it has a GNU and a PAX name");
    if (!longLink.empty() && pax.records.count("linkpath") != 0) fail("it has a GNU and a PAX link name");
    if (!longName.empty()) pax.records["path"] = longName;
    if (!longLink.empty()) pax.records["linkpath"] = longLink;
    return makeEntry(header, pax);
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
void TarReader::finishEntry(TarEntry* entry, char type) {
  const bool endsInSlash = !entry->path.empty() && entry->path.back() == '/';
  switch (type) {
    case '0':
    case '\0':
    case '7':
    case 'S':
      entry->type = EntryType::file;
      break;
    case '1':
      entry->type = EntryType::hardlink;
      break;
    case '2':
      entry->type = EntryType::symlink;
      break;
    case '3':
      entry->type = EntryType::charDevice;
      break;
    case '4':
      entry->type = EntryType::blockDevice;
      break;
    case '5':
      entry->type = EntryType::dir;
      break;
    case '6':
      entry->type = EntryType::fifo;
      break;
    default:
      fail(std::string("it has the unknown type '") + type + "'");
  }
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

void TarReader::copyStored(uint64_t size, const ByteSink& sink) {
  if (size > storedLeft_) fail("its content is longer than its size");
  while (size > 0) {
    const ByteSpan part = take_(static_cast<size_t>(std::min<uint64_t>(size, SIZE_MAX)));
    if (part.size == 0) fail("the archive ends in the middle of its content");
    sink(part.data, part.size);
    size -= part.size;
    storedLeft_ -= part.size;
  }
}

void TarReader::skipStored() {
  copyStored(storedLeft_, [](const uint8_t*, size_t) {});
  storedLeft_ = paddingLeft_;
  paddingLeft_ = 0;
  copyStored(storedLeft_, [](const uint8_t*, size_t) {});
}

void TarReader::readContent(const ByteSink& sink) {
  if (!isSparse_) {
    copyStored(storedLeft_, sink);
    return;
  }
  static const uint8_t zeros[64 * 1024] = {};
  uint64_t at = 0;
  const auto zeroTo = [&](uint64_t end) {
    while (at < end) {
      const size_t part = static_cast<size_t>(std::min<uint64_t>(end - at, sizeof(zeros)));
      sink(zeros, part);
      at += part;
    }
  };
  for (const auto& part : sparse_) {
    zeroTo(part.offset);
    copyStored(part.size, sink);
    at += part.size;
  }
  zeroTo(contentSize_);
}

}  // namespace tsbuild

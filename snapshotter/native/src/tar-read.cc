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

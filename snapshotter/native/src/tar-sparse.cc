#include <algorithm>

#include "tar-fields.h"
#include "tar-header.h"
#include "tar-read.h"

// Sparse files: GNU tar manual, "Storing Sparse Files" (old GNU, and PAX formats 0.0, 0.1 and 1.0).
namespace tsbuild {

namespace {

constexpr size_t sparsePartsMax = 1000000;

}  // namespace

void TarReader::applySparse(const Header& header, const Pax& pax, TarEntry* entry) {
  const auto record = [&](const char* key) -> std::optional<std::string> {
    const auto found = pax.records.find(key);
    if (found == pax.records.end() || found->second.empty()) return std::nullopt;
    return found->second;
  };
  const auto number = [&](const std::string& text) {
    const auto value = parseDecimal(text);
    if (!value) fail("its sparse map is malformed");
    return *value;
  };
  if (header.type() == 'S') {
    readOldSparse(header, entry);
    return;
  }
  const auto major = record("GNU.sparse.major");
  const auto map = record("GNU.sparse.map");
  if (!major && !map && pax.sparseParts.empty()) return;
  if (entry->type != EntryType::file) fail("it is sparse and no file");
  isSparse_ = true;
  std::vector<std::string> numbers = pax.sparseParts;
  if (major) {
    if (*major != "1" || record("GNU.sparse.minor").value_or("0") != "0") fail("its sparse format is unknown");
    readSparseMap();
  } else if (map) {
    numbers.clear();
    for (size_t at = 0; at <= map->size();) {
      const size_t end = std::min(map->find(',', at), map->size());
      numbers.push_back(map->substr(at, end - at));
      at = end + 1;
    }
  }
  if (numbers.size() % 2 != 0) fail("its sparse map is malformed");
  for (size_t i = 0; i + 1 < numbers.size(); i += 2) sparse_.push_back({number(numbers[i]), number(numbers[i + 1])});
  const auto realSize = record(major ? "GNU.sparse.realsize" : "GNU.sparse.size");
  if (!realSize) fail("it is sparse and has no size");
  entry->size = number(*realSize);
  if (const auto name = record("GNU.sparse.name")) {
    const auto path = normalisePath(*name);
    if (!path || path->empty()) fail("its name is empty or has a '..' component");
    entry->path = *path;
    name_ = *path;
  }
  checkSparse(*entry);
}

// The map is in the header, and in further blocks when that is too small.
void TarReader::readOldSparse(const Header& header, TarEntry* entry) {
  isSparse_ = true;
  const auto addParts = [&](const char* at, size_t count) {
    for (size_t i = 0; i < count; i++, at += 24) {
      if (*at == '\0') continue;
      const auto offset = parseTarNumber(std::string_view(at, 12));
      const auto size = parseTarNumber(std::string_view(at + 12, 12));
      if (!offset || !size || *offset < 0 || *size < 0) fail("its sparse map is malformed");
      sparse_.push_back({static_cast<uint64_t>(*offset), static_cast<uint64_t>(*size)});
    }
  };
  addParts(header.bytes + 386, 4);
  bool isExtended = header.bytes[482] != 0;
  while (isExtended) {
    char block[tarBlockSize];
    if (readBlock(block) < tarBlockSize) fail("it ends in a sparse map");
    addParts(block, 21);
    if (sparse_.size() > sparsePartsMax) fail("its sparse map is too large");
    isExtended = block[504] != 0;
  }
  const auto realSize = parseTarNumber(header.field(483, 12));
  if (!realSize || *realSize < 0) fail("its size is malformed");
  entry->size = static_cast<uint64_t>(*realSize);
  checkSparse(*entry);
}

// Format 1.0 puts the map before the content: decimal numbers, one a line, filled up to a block.
void TarReader::readSparseMap() {
  char block[tarBlockSize];
  size_t at = tarBlockSize;
  const auto nextNumber = [&] {
    std::string text;
    for (;;) {
      if (at == tarBlockSize) {
        size_t filled = 0;
        copyStored(tarBlockSize, [&](const uint8_t* data, size_t size) {
          std::copy(data, data + size, block + filled);
          filled += size;
        });
        at = 0;
      }
      const char c = block[at++];
      if (c == '\n') break;
      text += c;
      if (text.size() > 20) fail("its sparse map is malformed");
    }
    const auto value = parseDecimal(text);
    if (!value) fail("its sparse map is malformed");
    return *value;
  };
  const uint64_t count = nextNumber();
  if (count > sparsePartsMax) fail("its sparse map is too large");
  for (uint64_t i = 0; i < count; i++) {
    const uint64_t offset = nextNumber();
    const uint64_t size = nextNumber();
    sparse_.push_back({offset, size});
  }
}

void TarReader::checkSparse(const TarEntry& entry) {
  uint64_t end = 0;
  uint64_t stored = 0;
  for (const auto& part : sparse_) {
    // Both are below 2^63, so the sum does not wrap.
    if (part.offset < end || part.offset + part.size > entry.size) fail("its sparse map is out of order");
    end = part.offset + part.size;
    stored += part.size;
  }
  if (stored != storedLeft_) fail("its sparse map does not fit its content");
}

}  // namespace tsbuild

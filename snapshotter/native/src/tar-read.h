#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "codec.h"
#include "tar-entry.h"

namespace tsbuild {

// Gives the next bytes of an archive, from one to `sizeMax`, where they lie until the next call; none at the end.
using TakeBytes = std::function<ByteSpan(size_t sizeMax)>;

struct TarLimits {
  // Of the expanded contents together: a sparse file counts with its holes.
  uint64_t contentSizeMax;
  uint64_t entryCountMax;
};

// Reads tar as POSIX.1-2017 ustar and pax, GNU and v7. Whatever two readers could understand differently is refused with
// Failure `bad-archive` naming the entry: sizes out of line, `..` in names, damaged PAX records.
class TarReader {
 public:
  TarReader(TakeBytes take, TarLimits limits) : take_(std::move(take)), limits_(limits) {}

  // The next entry, nothing at the end. Paths are made relative and normalised; white-outs are still files.
  std::optional<TarEntry> next();

  // The content of the entry that `next` gave, at most once; holes of sparse files as zeros.
  void readContent(const ByteSink& sink);

 private:
  struct Header;
  struct SparsePart {
    uint64_t offset;
    uint64_t size;
  };
  // Records of a PAX header; repeated keys matter only for GNU.sparse.* 0.0, which are kept apart.
  struct Pax {
    std::map<std::string, std::string> records;
    std::vector<std::string> sparseParts;
  };

  size_t readBlock(char* to);
  bool readHeader(Header* header);
  std::string readMeta(const Header& header);
  void copyStored(uint64_t size, const ByteSink& sink);
  void skipStored();
  [[noreturn]] void fail(const std::string& reason) const;

  // tar-read-entry.cc
  void parsePax(const std::string& text, Pax* pax);
  TarEntry makeEntry(const Header& header, const Pax& pax);
  void applyPax(const Pax& pax, TarEntry* entry);
  void finishEntry(TarEntry* entry, char typeflag);

  // tar-sparse.cc
  void applySparse(const Header& header, const Pax& pax, TarEntry* entry);
  void readOldSparse(const Header& header, TarEntry* entry);
  void readSparseMap();
  void checkSparse(const TarEntry& entry);

  const TakeBytes take_;
  const TarLimits limits_;
  Pax global_;
  // Name of the entry being read, for messages.
  std::string name_;
  // Bytes of the content, and padding after it, that are still in the archive.
  uint64_t storedLeft_ = 0;
  uint64_t paddingLeft_ = 0;
  uint64_t contentSize_ = 0;
  bool isSparse_ = false;
  std::vector<SparsePart> sparse_;
  uint64_t entryCount_ = 0;
  uint64_t contentTotal_ = 0;
};

}  // namespace tsbuild

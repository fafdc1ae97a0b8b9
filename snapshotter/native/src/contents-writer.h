#pragma once

#include <string>
#include <string_view>

#include "descriptor.h"
#include "tar-entry.h"

namespace tsbuild {

// Writes a table of contents (snapshotter/layer/contents.ts has the format and reads it) entry by entry, so that a layer
// is never in memory as a list. The file must not exist; it is removed again unless `finish` succeeded.
class ContentsWriter {
 public:
  explicit ContentsWriter(const std::string& path);
  ~ContentsWriter();
  ContentsWriter(const ContentsWriter&) = delete;
  ContentsWriter& operator=(const ContentsWriter&) = delete;

  // In the order of path components, of one path its whiteout first and its opaque mark last; else Failure `bad-argument`.
  // `digest`: of a file, `sha256:` and 64 digits.
  void add(const TarEntry& entry, std::string_view digest);
  void finish();

 private:
  void checkOrder(const TarEntry& entry);
  void flush();

  const std::string path_;
  Descriptor file_;
  bool isWhole_ = false;
  std::string text_;
  size_t inLine_ = 0;
  size_t count_ = 0;
  std::string lastPath_;
  int lastRank_ = 0;
};

}  // namespace tsbuild

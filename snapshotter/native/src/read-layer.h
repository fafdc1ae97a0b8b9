#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cancellation.h"
#include "columns.h"
#include "decoded-blob.h"
#include "extract.h"
#include "tar-read.h"

namespace tsbuild {

struct ReadSettings {
  BlobSource blob;
  bool extracts;
  ExtractSettings extract;
  // What becomes of the entries: a list, a table of contents in this file when it has a name, or nothing.
  bool listsEntries;
  std::string contents;
  TarLimits limits;
};

struct ReadOutcome {
  std::string digest;
  uint64_t size = 0;
  std::string diffId;
  uint64_t uncompressedSize = 0;
  Columns entries;
  std::vector<std::string> implied;
  bool isPlain = false;
  // Of all files; nothing without a file.
  std::optional<int64_t> newestFileSec;
  std::vector<Skipped> skipped;
};

// Reads a blob once, on several threads; see kernel-types.ts.
ReadOutcome readLayer(const ReadSettings& settings, const CancellationPtr& cancellation);

}  // namespace tsbuild

#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "blob-writer.h"
#include "cancellation.h"
#include "contents-writer.h"
#include "pack-item.h"
#include "source-files.h"

namespace tsbuild {

struct PackSettings {
  std::string output;
  // uncompressed, gzip or zstd.
  std::string compression;
  int level = defaultLevel;
  // File for the table of contents; empty: none is wanted.
  std::string contents;
  // As in PartsTable.
  std::string partsTable;
};

struct PackOutcome {
  BlobResult blob;
  std::string engine;
  // Of the files, in the order added, one after the other; empty when there is a table of contents.
  std::string fileDigests;
};

// Reads files ahead on several threads, in the order of the tar, and writes the tar into a BlobWriter.
class Packer {
 public:
  // `drained` is called, on any thread, when the queue has room again after `add` returned false.
  Packer(PackSettings settings, CancellationPtr cancellation, std::function<void()> drained);

  // False: wait for `drained` before adding more.
  bool add(std::vector<PackItem> items);
  void end();

  // Packs until `end`; the output is removed when this throws.
  PackOutcome run();

 private:
  using ItemPtr = std::shared_ptr<PackItem>;

  void readAhead(BlobWriter& writer);
  bool hasRoom() const;
  bool claim(std::vector<ItemPtr>* out);
  void load(PackItem& item, BlobWriter& writer);
  Bytes contentOf(const PackItem& item, BlobWriter& writer);
  void assemble(BlobWriter& writer, ContentsWriter* contents, PackOutcome* outcome);
  ItemPtr takeFront();
  void copyLarge(PackItem& item, BlobWriter& writer);
  void copyInline(PackItem& item, BlobWriter& writer);
  void stop();

  const PackSettings settings_;
  const CancellationPtr cancellation_;
  const std::function<void()> drained_;

  std::mutex mutex_;
  std::condition_variable readable_;
  std::condition_variable ready_;
  // In the order of the tar; the first `claimed_` of them are being read or are ready.
  std::deque<ItemPtr> items_;
  size_t claimed_ = 0;
  size_t heldBytes_ = 0;
  bool isEnded_ = false;
  bool isStopped_ = false;
  bool isFull_ = false;

  SourceFiles sources_;
};

}  // namespace tsbuild

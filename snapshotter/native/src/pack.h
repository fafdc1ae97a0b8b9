#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "blob-writer.h"
#include "cancellation.h"
#include "descriptor.h"
#include "tar-entry.h"

namespace tsbuild {

// An entry to pack, with the place of its bytes when it is a file.
struct PackItem {
  TarEntry entry;
  // Host directory and path below it; an empty root means that the bytes are in `content`.
  std::string sourceRoot;
  std::string sourcePath;
  // Digest that the bytes must have; empty: whatever they are.
  std::string expect;

  // Filled while packing. A file that is too large to be held is read by the thread that writes the tar.
  Bytes content;
  std::string digest;
  std::exception_ptr failure;
  bool isReady = false;
};

struct PackSettings {
  std::string output;
  // uncompressed, gzip or zstd.
  std::string compression;
  int level = defaultLevel;
};

struct PackOutcome {
  BlobResult blob;
  std::string engine;
  // Of the files, in the order added, one after the other.
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

  void readAhead();
  bool claim(std::vector<ItemPtr>* out);
  void load(PackItem& item, Sha256& hash);
  void assemble(BlobWriter& writer, PackOutcome* outcome);
  ItemPtr takeFront();
  void copyLarge(PackItem& item, BlobWriter& writer);
  void stop();
  Descriptor openSource(const PackItem& item);
  int rootOf(const std::string& path);

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

  std::mutex rootsMutex_;
  std::map<std::string, Descriptor> roots_;
};

}  // namespace tsbuild

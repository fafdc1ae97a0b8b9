#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "buffers.h"
#include "codec.h"
#include "descriptor.h"
#include "encoded-part.h"
#include "parts-table.h"
#include "recent-parts.h"
#include "sha256.h"
#include "threads.h"

namespace tsbuild {

struct BlobResult {
  std::string diffId;
  uint64_t uncompressedSize = 0;
  // Empty without an output file.
  std::string digest;
  uint64_t size = 0;
  // Of the uncompressed bytes, those whose compressed form was there already.
  uint64_t takenOverSize = 0;
};

// Takes the bytes of a tar and hashes them; does the rest on threads of a group: compress in blocks, hash again, write.
//
//   append, appendContent (diffId) -> block -> encoders (any order) -> hash (digest) and write, in order
//
// Every queue is bounded, so memory is a few blocks for each thread.
class BlobWriter {
 public:
  // `encoding` null: stored. `output` empty: only the diffId is wanted. The file must not exist; it is removed again
  // unless `finish` succeeded. `partsTable`: as in PartsTable.
  BlobWriter(const std::string& output, std::unique_ptr<Encoding> encoding, const std::string& partsTable);
  ~BlobWriter();

  // Once, before anything is appended.
  void start(ThreadGroup& group);

  void append(const void* data, size_t size);
  void appendZeros(size_t size);
  // Some of a file, at most a block: `hash`, which becomes the digest of the file, goes on with it beside the diffId, as
  // two hashes of the same bytes take little longer than one. From `partSizeMin` of the encoding on it is a block of its
  // own, whose compressed form is taken from where it was made before.
  void appendContent(Bytes content, Sha256& hash);
  // The whole of a file; its digest.
  std::string appendFile(Bytes content);
  size_t blockSize() const { return blockSize_; }
  // For contents; at least of that size.
  Bytes buffer(size_t size) { return buffers_->take(size); }
  // No more to come: the threads end.
  void end();
  // Ends every wait; see ThreadGroup.
  void stop();
  // After the threads have ended.
  BlobResult finish();

 private:
  struct Block {
    Bytes raw;
    std::string before;
    bool isPart = false;
    // Of a part; made by the encoder when it is not known before.
    std::optional<RawDigest> content;
    Bytes encoded;
    uint32_t checksum = 0;
    uint32_t encodedChecksum = 0;
    bool isTakenOver = false;
    bool isEncoded = false;
  };
  using BlockPtr = std::shared_ptr<Block>;

  BlockPtr newBlock(Bytes raw);

  bool isPart(size_t size) const;
  void copyToBlocks(const uint8_t* from, size_t size);
  void pushContent(Bytes content, std::optional<RawDigest> digest);
  void growCurrent();
  void pushCurrent();
  void pushBlock(const BlockPtr& block);
  void wake();
  void encodeBlocks();
  void encode(Block& block, BlockEncoder& encoder) const;
  std::optional<EncodedPart> findPart(const RawDigest& content) const;
  void rememberPart(const Block& block, uint64_t offset);
  void finishBlocks();
  void waitEncoded(const Block& block);
  void write(const void* data, size_t size);

  const std::string outputPath_;
  const std::unique_ptr<Encoding> encoding_;
  const size_t blockSize_;
  const std::string engine_;
  Descriptor output_;
  PartsTable partsTable_;
  std::optional<RecentParts> recentParts_;
  std::vector<PartsTable::Part> parts_;
  bool isWhole_ = false;

  // Shared with the blocks, which may outlive the queues.
  const std::shared_ptr<Buffers> buffers_;
  BlockPtr current_;
  std::string before_;
  // Bytes of blocks that the threads have not been woken for.
  size_t unheard_ = 0;

  BoundedQueue<BlockPtr> toEncode_;
  BoundedQueue<BlockPtr> toFinish_;
  std::mutex encodedMutex_;
  std::condition_variable encodedChanged_;
  bool stopped_ = false;

  Sha256 diffId_;
  Sha256 fileHash_;
  Sha256 digest_;
  BlobResult result_;
};

}  // namespace tsbuild

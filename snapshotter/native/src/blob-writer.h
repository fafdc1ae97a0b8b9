#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bytes.h"
#include "codec.h"
#include "descriptor.h"
#include "sha256.h"
#include "threads.h"

namespace tsbuild {

struct BlobResult {
  std::string diffId;
  uint64_t uncompressedSize = 0;
  // Empty without an output file.
  std::string digest;
  uint64_t size = 0;
};

// Takes the bytes of a tar and does the rest on threads of a group: hash, compress in blocks, hash again, write.
//
//   append -> block -+-> hash (diffId)
//                    +-> encoders (any order) -> write in order (digest)
//
// Every queue is bounded, so memory is a few blocks for each thread.
class BlobWriter {
 public:
  // `encoding` null: stored. `output` empty: only the diffId is wanted. The file must not exist; it is removed again
  // unless `finish` succeeded.
  BlobWriter(const std::string& output, std::unique_ptr<Encoding> encoding);
  ~BlobWriter();

  // Once, before anything is appended.
  void start(ThreadGroup& group);

  void append(const void* data, size_t size);
  void appendZeros(size_t size);
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
    Bytes encoded;
    bool isEncoded = false;
  };
  using BlockPtr = std::shared_ptr<Block>;

  // Buffers of blocks, used again and again: given back to malloc they stay in the arena of whichever thread was last, and
  // the process grows with the number of threads and layers instead of with the queues.
  class Buffers {
   public:
    explicit Buffers(size_t capacity) : capacity_(capacity) {}
    Bytes take();
    void giveBack(Bytes buffer);

   private:
    const size_t capacity_;
    std::mutex mutex_;
    std::vector<Bytes> spare_;
  };

  BlockPtr newBlock();

  void pushBlock();
  void hashBlocks();
  void encodeBlocks();
  void writeBlocks();
  void write(const void* data, size_t size);

  const std::string outputPath_;
  const std::unique_ptr<Encoding> encoding_;
  const size_t blockSize_;
  Descriptor output_;
  bool isWhole_ = false;

  // Shared with the blocks, which may outlive the queues.
  const std::shared_ptr<Buffers> buffers_;
  BlockPtr current_;
  std::string before_;

  BoundedQueue<BlockPtr> toHash_;
  BoundedQueue<BlockPtr> toEncode_;
  BoundedQueue<BlockPtr> toWrite_;
  std::mutex encodedMutex_;
  std::condition_variable encodedChanged_;
  bool stopped_ = false;

  Sha256 digest_;
  BlobResult result_;
};

}  // namespace tsbuild

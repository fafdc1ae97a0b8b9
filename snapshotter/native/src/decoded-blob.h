#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <string>

#include "buffers.h"
#include "cancellation.h"
#include "threads.h"

namespace tsbuild {

// A blob that somebody still writes.
struct Arriving {
  // Where it is until it is whole; then it has the name of the blob. Empty: it is whole.
  std::string path;
  uint64_t size = 0;
};

struct BlobSource {
  std::string path;
  Arriving arriving;
  // As newDecoder takes it.
  std::string compression;
  // The digest of the blob is wanted: not where somebody else computes it.
  bool isDigested = false;
  uint64_t decodedSizeMax = 0;
};

// The bytes that a blob holds, in pieces. Threads of a group read and decompress ahead, as far as bounded queues let them:
//
//   file -> digest -> decompress -> next
class DecodedBlob {
 public:
  DecodedBlob(BlobSource source, CancellationPtr cancellation);

  void start(ThreadGroup& group);
  // Ends every wait; see ThreadGroup.
  void stop();
  // Null at the end. Failure `bad-archive` for a damaged blob or too large a one, behind what was decoded before, so that
  // what is found of it does not depend on which thread is ahead.
  SharedBytes next();

  // Of the whole blob, when the group has ended without a failure.
  const std::string& digest() const { return digest_; }
  uint64_t size() const { return size_; }
  uint64_t decodedSize() const { return decodedSize_; }

 private:
  void readFile();
  void decompress();
  void decode();
  void passOn(const SharedBytes& bytes);

  const BlobSource source_;
  const CancellationPtr cancellation_;
  const std::shared_ptr<Buffers> buffers_ = std::make_shared<Buffers>();
  BoundedQueue<SharedBytes> compressed_;
  BoundedQueue<SharedBytes> decoded_;
  std::string digest_;
  uint64_t size_ = 0;
  uint64_t decodedSize_ = 0;
  // Written before the queue is finished, read after.
  std::exception_ptr failure_;
};

}  // namespace tsbuild

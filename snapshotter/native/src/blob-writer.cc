#include "blob-writer.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "failure.h"

namespace tsbuild {

namespace {

constexpr size_t storedBlockSize = 1024 * 1024;

}  // namespace

BlobWriter::BlobWriter(const std::string& output, std::unique_ptr<Encoding> encoding)
    : outputPath_(output),
      encoding_(std::move(encoding)),
      blockSize_(encoding_ ? encoding_->blockSize() : storedBlockSize),
      buffers_(std::make_shared<Buffers>(blockSize_)),
      toHash_(4),
      toEncode_(2),
      toWrite_(processorThreads() + 2) {
  if (outputPath_.empty()) return;
  output_.reset(open(outputPath_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!output_) failErrno("open", outputPath_);
}

Bytes BlobWriter::Buffers::take() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (spare_.empty()) return Bytes(capacity_);
  Bytes buffer = std::move(spare_.back());
  spare_.pop_back();
  return buffer;
}

void BlobWriter::Buffers::giveBack(Bytes buffer) {
  buffer.size = 0;
  std::lock_guard<std::mutex> lock(mutex_);
  spare_.push_back(std::move(buffer));
}

BlobWriter::BlockPtr BlobWriter::newBlock() {
  const auto buffers = buffers_;
  BlockPtr block(new Block, [buffers](Block* used) {
    buffers->giveBack(std::move(used->raw));
    delete used;
  });
  block->raw = buffers->take();
  return block;
}

void BlobWriter::start(ThreadGroup& group) {
  group.start([this] { hashBlocks(); });
  if (!output_) return;
  group.start([this] { writeBlocks(); });
  if (!encoding_) return;
  for (unsigned i = 0; i < processorThreads(); i++) group.start([this] { encodeBlocks(); });
}

BlobWriter::~BlobWriter() {
  if (output_ && !isWhole_) unlink(outputPath_.c_str());
}

void BlobWriter::append(const void* data, size_t size) {
  const auto* from = static_cast<const uint8_t*>(data);
  while (size > 0) {
    if (!current_) {
      current_ = newBlock();
    }
    Bytes& raw = current_->raw;
    const size_t part = std::min(size, raw.capacity - raw.size);
    std::memcpy(raw.data.get() + raw.size, from, part);
    raw.size += part;
    from += part;
    size -= part;
    if (raw.size == raw.capacity) pushBlock();
  }
}

void BlobWriter::appendZeros(size_t size) {
  static const char zeros[4096] = {};
  for (; size > 0; size -= std::min(size, sizeof(zeros))) append(zeros, std::min(size, sizeof(zeros)));
}

void BlobWriter::pushBlock() {
  const BlockPtr block = std::move(current_);
  current_.reset();
  result_.uncompressedSize += block->raw.size;
  if (output_) {
    if (encoding_) {
      block->before = before_;
      const size_t keep = std::min(encoding_->dictionarySize(), block->raw.size);
      before_.assign(reinterpret_cast<const char*>(block->raw.data.get()) + block->raw.size - keep, keep);
    }
    // The order of the blocks is fixed here, before any encoder has them.
    toWrite_.push(block);
    if (encoding_) toEncode_.push(block);
  }
  toHash_.push(block);
}

void BlobWriter::end() {
  if (current_) pushBlock();
  toHash_.finish();
  toEncode_.finish();
  toWrite_.finish();
}

void BlobWriter::stop() {
  toHash_.stop();
  toEncode_.stop();
  toWrite_.stop();
  std::lock_guard<std::mutex> lock(encodedMutex_);
  stopped_ = true;
  encodedChanged_.notify_all();
}

void BlobWriter::hashBlocks() {
  Sha256 hash;
  while (const auto block = toHash_.pop()) {
    hash.update((*block)->raw.data.get(), (*block)->raw.size);
    if (encoding_ && output_) encoding_->account((*block)->raw);
  }
  result_.diffId = hash.finish();
}

void BlobWriter::encodeBlocks() {
  const auto encoder = encoding_->newEncoder();
  while (const auto popped = toEncode_.pop()) {
    Block& block = **popped;
    block.encoded = encoder->encode(block.raw, block.before);
    std::lock_guard<std::mutex> lock(encodedMutex_);
    block.isEncoded = true;
    encodedChanged_.notify_all();
  }
}

void BlobWriter::writeBlocks() {
  if (encoding_) {
    const std::string header = encoding_->header();
    write(header.data(), header.size());
  }
  while (const auto popped = toWrite_.pop()) {
    Block& block = **popped;
    if (!encoding_) {
      write(block.raw.data.get(), block.raw.size);
      continue;
    }
    {
      std::unique_lock<std::mutex> lock(encodedMutex_);
      encodedChanged_.wait(lock, [&] { return stopped_ || block.isEncoded; });
      if (stopped_) throw Stopped{};
    }
    write(block.encoded.data.get(), block.encoded.size);
  }
}

void BlobWriter::write(const void* data, size_t size) {
  // Of stored bytes the digest is the diffId.
  if (encoding_) digest_.update(data, size);
  result_.size += size;
  const auto* from = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(output_.get(), from, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) failErrno("write", outputPath_);
    from += written;
    size -= static_cast<size_t>(written);
  }
}

BlobResult BlobWriter::finish() {
  if (!output_) return result_;
  if (encoding_) {
    const std::string trailer = encoding_->trailer();
    write(trailer.data(), trailer.size());
    result_.digest = digest_.finish();
  } else {
    result_.digest = result_.diffId;
  }
  // Quota and network filesystems may report what failed only now.
  if (close(output_.release()) != 0) {
    const int error = errno;
    unlink(outputPath_.c_str());
    failErrno("close", outputPath_, error);
  }
  isWhole_ = true;
  return result_;
}

}  // namespace tsbuild

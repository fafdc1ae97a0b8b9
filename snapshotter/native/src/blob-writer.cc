#include "blob-writer.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "copy-file.h"
#include "crc32.h"
#include "failure.h"

namespace tsbuild {

namespace {

constexpr size_t storedBlockSize = 1024 * 1024;
// Between two parts there is little more than a header.
constexpr size_t firstBlockCapacity = 32 * 1024;
constexpr size_t wakeSize = 256 * 1024;
// As many as the table has entries.
constexpr size_t partsMax = 65536;

}  // namespace

BlobWriter::BlobWriter(const std::string& output, std::unique_ptr<Encoding> encoding,
                       const std::string& partsTable)
    : outputPath_(output),
      encoding_(std::move(encoding)),
      blockSize_(encoding_ ? encoding_->blockSize() : storedBlockSize),
      engine_(encoding_ ? encoding_->engine() : ""),
      partsTable_(partsTable, engine_),
      buffers_(std::make_shared<Buffers>()),
      toEncode_(2 * blockSize_),
      toFinish_((processorThreads() + 2) * blockSize_) {
  if (outputPath_.empty()) return;
  output_.reset(open(outputPath_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!output_) failErrno("open", outputPath_);
  if (encoding_) recentParts_.emplace(output_.get(), engine_);
}

BlobWriter::BlockPtr BlobWriter::newBlock(Bytes raw) {
  const auto buffers = buffers_;
  BlockPtr block(new Block, [buffers](Block* used) {
    buffers->giveBack(std::move(used->raw));
    delete used;
  });
  block->raw = std::move(raw);
  return block;
}

void BlobWriter::start(ThreadGroup& group) {
  group.start([this] { finishBlocks(); });
  if (!output_ || !encoding_) return;
  for (unsigned i = 0; i < processorThreads(); i++) group.start([this] { encodeBlocks(); });
}

BlobWriter::~BlobWriter() {
  if (output_ && !isWhole_) unlink(outputPath_.c_str());
}

void BlobWriter::append(const void* data, size_t size) {
  diffId_.update(data, size);
  copyToBlocks(static_cast<const uint8_t*>(data), size);
}

void BlobWriter::copyToBlocks(const uint8_t* from, size_t size) {
  while (size > 0) {
    if (!current_) current_ = newBlock(buffers_->take(firstBlockCapacity));
    Bytes& raw = current_->raw;
    if (raw.size == raw.capacity) growCurrent();
    const size_t part = std::min(size, raw.capacity - raw.size);
    std::memcpy(raw.data.get() + raw.size, from, part);
    raw.size += part;
    from += part;
    size -= part;
    if (raw.size == blockSize_) pushCurrent();
  }
}

void BlobWriter::growCurrent() {
  Bytes& small = current_->raw;
  Bytes large = buffers_->take(blockSize_);
  std::memcpy(large.data.get(), small.data.get(), small.size);
  large.size = small.size;
  buffers_->giveBack(std::exchange(small, std::move(large)));
}

void BlobWriter::appendZeros(size_t size) {
  static const char zeros[4096] = {};
  for (; size > 0; size -= std::min(size, sizeof(zeros))) append(zeros, std::min(size, sizeof(zeros)));
}

bool BlobWriter::isPart(size_t size) const { return recentParts_ && size >= encoding_->partSizeMin() && size <= blockSize_; }

void BlobWriter::appendContent(Bytes content, Sha256& hash) {
  const ByteSpan bytes = {content.data.get(), content.size};
  diffId_.updateWith(bytes, hash, bytes);
  pushContent(std::move(content), std::nullopt);
}

std::string BlobWriter::appendFile(Bytes content) {
  const ByteSpan bytes = {content.data.get(), content.size};
  diffId_.updateWith(bytes, fileHash_, bytes);
  std::string digest = fileHash_.finish();
  pushContent(std::move(content), rawDigestOf(digest));
  return digest;
}

void BlobWriter::pushContent(Bytes content, std::optional<RawDigest> digest) {
  if (!isPart(content.size)) {
    copyToBlocks(content.data.get(), content.size);
    buffers_->giveBack(std::move(content));
    return;
  }
  if (current_) pushCurrent();
  const BlockPtr block = newBlock(std::move(content));
  block->isPart = true;
  block->content = digest;
  pushBlock(block);
}

void BlobWriter::pushCurrent() {
  pushBlock(std::move(current_));
  current_.reset();
}

void BlobWriter::pushBlock(const BlockPtr& block) {
  const size_t weight = block->raw.capacity;
  result_.uncompressedSize += block->raw.size;
  if (!toFinish_.hasRoom(weight) || !toEncode_.hasRoom(weight)) wake();
  // The order of the blocks is fixed here, before any encoder has them.
  toFinish_.pushQuietly(block, weight);
  if (output_ && encoding_) {
    if (!block->isPart) block->before = before_;
    const size_t keep = std::min(encoding_->dictionarySize(), block->raw.size);
    before_.assign(reinterpret_cast<const char*>(block->raw.data.get()) + block->raw.size - keep, keep);
    toEncode_.pushQuietly(block, weight);
  }
  unheard_ += block->raw.size;
  if (unheard_ >= wakeSize) wake();
}

// Waking a thread costs as much as its work on a small part.
void BlobWriter::wake() {
  unheard_ = 0;
  toFinish_.wake();
  toEncode_.wake();
}

void BlobWriter::end() {
  if (current_) pushCurrent();
  toEncode_.finish();
  toFinish_.finish();
}

void BlobWriter::stop() {
  toEncode_.stop();
  toFinish_.stop();
  std::lock_guard<std::mutex> lock(encodedMutex_);
  stopped_ = true;
  encodedChanged_.notify_all();
}

void BlobWriter::encodeBlocks() {
  const auto encoder = encoding_->newEncoder();
  while (const auto popped = toEncode_.pop()) {
    Block& block = **popped;
    encode(block, *encoder);
    std::lock_guard<std::mutex> lock(encodedMutex_);
    block.isEncoded = true;
    encodedChanged_.notify_all();
  }
}

void BlobWriter::encode(Block& block, BlockEncoder& encoder) const {
  if (block.isPart && !block.content) block.content = rawDigestOf(digestOf({block.raw.data.get(), block.raw.size}));
  if (auto known = block.isPart ? findPart(*block.content) : std::nullopt) {
    block.encoded = std::move(known->bytes);
    block.checksum = known->place.checksum;
    block.encodedChecksum = known->place.encodedChecksum;
    block.isTakenOver = true;
    return;
  }
  block.encoded = encoder.encode(block.raw, block.before);
  block.checksum = encoding_->checksum(block.raw);
  if (block.isPart) block.encodedChecksum = crc32Of(block.encoded.data.get(), block.encoded.size);
}

std::optional<EncodedPart> BlobWriter::findPart(const RawDigest& content) const {
  auto known = findRecentPart(engine_, content);
  return known ? std::move(known) : partsTable_.find(content);
}

void BlobWriter::rememberPart(const Block& block, uint64_t offset) {
  const PartPlace place = {offset, static_cast<uint32_t>(block.encoded.size), block.checksum, block.encodedChecksum};
  recentParts_->add(*block.content, place);
  // One that was taken over from another blob is in the table, unless that blob is of this process and in the making.
  if (!block.isTakenOver && parts_.size() < partsMax) parts_.push_back({*block.content, place});
}

void BlobWriter::waitEncoded(const Block& block) {
  std::unique_lock<std::mutex> lock(encodedMutex_);
  encodedChanged_.wait(lock, [&] { return stopped_ || block.isEncoded; });
  if (stopped_) throw Stopped{};
}

void BlobWriter::finishBlocks() {
  const bool encodes = output_ && encoding_;
  if (encodes) {
    const std::string header = encoding_->header();
    digest_.update(header.data(), header.size());
    write(header.data(), header.size());
  }
  while (const auto popped = toFinish_.pop()) {
    Block& block = **popped;
    if (!encodes) {
      if (output_) write(block.raw.data.get(), block.raw.size);
      continue;
    }
    waitEncoded(block);
    digest_.update(block.encoded.data.get(), block.encoded.size);
    encoding_->account(block.checksum, block.raw.size);
    const uint64_t offset = result_.size;
    write(block.encoded.data.get(), block.encoded.size);
    if (block.isTakenOver) result_.takenOverSize += block.raw.size;
    if (block.isPart) rememberPart(block, offset);
  }
}

void BlobWriter::write(const void* data, size_t size) {
  result_.size += size;
  writeBytes(output_.get(), static_cast<const uint8_t*>(data), size, outputPath_);
}

BlobResult BlobWriter::finish() {
  result_.diffId = diffId_.finish();
  if (!output_) return result_;
  if (encoding_) {
    const std::string trailer = encoding_->trailer();
    digest_.update(trailer.data(), trailer.size());
    write(trailer.data(), trailer.size());
    result_.digest = digest_.finish();
  } else {
    // Of stored bytes the digest is the diffId.
    result_.digest = result_.diffId;
  }
  // Quota and network filesystems may report what failed only now.
  if (close(output_.release()) != 0) {
    const int error = errno;
    unlink(outputPath_.c_str());
    failErrno("close", outputPath_, error);
  }
  isWhole_ = true;
  if (recentParts_) recentParts_->keep();
  partsTable_.add(result_.digest, parts_);
  return result_;
}

}  // namespace tsbuild

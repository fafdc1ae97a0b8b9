#include "pack.h"

#include <fcntl.h>

#include <cstring>
#include <optional>

#include "copy-file.h"
#include "failure.h"
#include "tar-write.h"

namespace tsbuild {

namespace {

// Files up to this are read ahead and held; larger ones stream.
constexpr uint64_t heldFileMax = 1024 * 1024;
constexpr size_t heldBytesMax = 16 * 1024 * 1024;
// Where readers that found no room go on.
constexpr size_t heldBytesLow = heldBytesMax / 2;
constexpr size_t queueHigh = 16384;
constexpr size_t queueLow = 4096;
constexpr size_t claimMax = 16;
constexpr uint64_t claimBytesMax = 512 * 1024;
static_assert(claimBytesMax + heldFileMax <= heldBytesMax, "a claim fits in");

bool isHeld(const PackItem& item) {
  return item.entry.type == EntryType::file && !item.sourceRoot.empty() && item.entry.size <= heldFileMax;
}

void checkExpected(const PackItem& item) {
  if (!item.expect.empty() && item.expect != item.digest) failChanged(item, "changed its content");
}

}  // namespace

Packer::Packer(PackSettings settings, CancellationPtr cancellation, std::function<void()> drained)
    : settings_(std::move(settings)), cancellation_(std::move(cancellation)), drained_(std::move(drained)) {}

bool Packer::add(std::vector<PackItem> items) {
  std::vector<ItemPtr> added;
  added.reserve(items.size());
  for (auto& item : items) {
    item.isReady = !isHeld(item);
    added.push_back(std::make_shared<PackItem>(std::move(item)));
  }
  std::lock_guard<std::mutex> lock(mutex_);
  items_.insert(items_.end(), added.begin(), added.end());
  readable_.notify_all();
  ready_.notify_all();
  isFull_ = items_.size() >= queueHigh;
  return !isFull_;
}

void Packer::end() {
  std::lock_guard<std::mutex> lock(mutex_);
  isEnded_ = true;
  readable_.notify_all();
  ready_.notify_all();
}

void Packer::stop() {
  std::lock_guard<std::mutex> lock(mutex_);
  isStopped_ = true;
  readable_.notify_all();
  ready_.notify_all();
}

// Enough for all that a claim takes. The front one is always read, whatever is held, or nothing would move.
bool Packer::hasRoom() const { return claimed_ == 0 || heldBytes_ + claimBytesMax + heldFileMax <= heldBytesMax; }

// Takes some files that nobody reads yet, several at once, as most are small. So it waits for room for several, too. False:
// no more will come.
bool Packer::claim(std::vector<ItemPtr>* out) {
  std::unique_lock<std::mutex> lock(mutex_);
  uint64_t bytes = 0;
  for (;;) {
    if (isStopped_) throw Stopped{};
    while (claimed_ < items_.size() && out->size() < claimMax && bytes < claimBytesMax) {
      const ItemPtr& item = items_[claimed_];
      if (!item->isReady) {
        if (out->empty() && !hasRoom()) break;
        heldBytes_ += item->entry.size;
        bytes += item->entry.size;
        out->push_back(item);
      }
      claimed_ += 1;
    }
    if (!out->empty()) return true;
    if (isEnded_ && claimed_ == items_.size()) return false;
    readable_.wait(lock);
  }
}

// A failure is reported when the item's turn comes, so that the first file in the tar's order is the one named.
void Packer::load(PackItem& item, BlobWriter& writer) {
  try {
    item.content = contentOf(item, writer);
  } catch (const Failure&) {
    item.failure = std::current_exception();
  }
}

Bytes Packer::contentOf(const PackItem& item, BlobWriter& writer) {
  const Descriptor file = sources_.open(item);
  const size_t size = static_cast<size_t>(item.entry.size);
  // One byte more tells whether it grew.
  Bytes content = writer.buffer(size + 1);
  content.size = readBytes(file.get(), content.data.get(), size + 1, item.sourcePath);
  if (content.size < size) failChanged(item, "shrank");
  if (content.size > size) failChanged(item, "grew");
  return content;
}

void Packer::readAhead(BlobWriter& writer) {
  for (;;) {
    std::vector<ItemPtr> claimed;
    if (!claim(&claimed)) return;
    for (const auto& item : claimed) load(*item, writer);
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& item : claimed) item->isReady = true;
    if (!items_.empty() && items_.front()->isReady) ready_.notify_all();
  }
}

// The next item when it is ready; null at the end.
Packer::ItemPtr Packer::takeFront() {
  std::unique_lock<std::mutex> lock(mutex_);
  ready_.wait(lock, [&] {
    return isStopped_ || (isEnded_ && items_.empty()) || (!items_.empty() && items_.front()->isReady);
  });
  if (isStopped_) throw Stopped{};
  if (items_.empty()) return nullptr;
  ItemPtr item = std::move(items_.front());
  items_.pop_front();
  if (claimed_ > 0) claimed_ -= 1;
  if (isHeld(*item)) {
    const bool wasAbove = heldBytes_ > heldBytesLow;
    heldBytes_ -= static_cast<size_t>(item->entry.size);
    if (wasAbove && heldBytes_ <= heldBytesLow) readable_.notify_all();
  }
  if (isFull_ && items_.size() <= queueLow) {
    isFull_ = false;
    drained_();
  }
  return item;
}

void Packer::copyLarge(PackItem& item, BlobWriter& writer) {
  const Descriptor file = sources_.open(item);
  posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  Sha256 hash;
  for (uint64_t left = item.entry.size; left > 0;) {
    cancellation_->check();
    const size_t want = static_cast<size_t>(std::min<uint64_t>(left, writer.blockSize()));
    Bytes part = writer.buffer(want);
    part.size = readBytes(file.get(), part.data.get(), want, item.sourcePath);
    if (part.size < want) failChanged(item, "shrank");
    left -= part.size;
    writer.appendContent(std::move(part), hash);
  }
  uint8_t more;
  if (readBytes(file.get(), &more, 1, item.sourcePath) != 0) failChanged(item, "grew");
  item.digest = hash.finish();
  checkExpected(item);
}

void Packer::copyInline(PackItem& item, BlobWriter& writer) {
  Sha256 hash;
  const Bytes& content = item.content;
  for (size_t at = 0; at < content.size;) {
    const size_t size = std::min(content.size - at, writer.blockSize());
    Bytes part = writer.buffer(size);
    part.size = size;
    std::memcpy(part.data.get(), content.data.get() + at, part.size);
    at += part.size;
    writer.appendContent(std::move(part), hash);
  }
  item.digest = hash.finish();
  checkExpected(item);
}

void Packer::assemble(BlobWriter& writer, ContentsWriter* contents, PackOutcome* outcome) {
  while (const ItemPtr item = takeFront()) {
    cancellation_->check();
    if (item->failure) std::rethrow_exception(item->failure);
    const std::string header = tarHeader(item->entry);
    writer.append(header.data(), header.size());
    if (item->entry.type != EntryType::file) {
      if (contents != nullptr) contents->add(item->entry, "");
      continue;
    }
    if (item->sourceRoot.empty()) {
      copyInline(*item, writer);
    } else if (isHeld(*item)) {
      item->digest = writer.appendFile(std::move(item->content));
      checkExpected(*item);
    } else {
      copyLarge(*item, writer);
    }
    writer.appendZeros(tarPadding(item->entry.size));
    if (contents != nullptr) contents->add(item->entry, item->digest);
    else outcome->fileDigests += item->digest;
  }
  // Two zero blocks end an archive.
  writer.appendZeros(2 * tarBlockSize);
  writer.end();
}

PackOutcome Packer::run() {
  PackOutcome outcome;
  auto encoding = newEncoding(settings_.compression, settings_.level);
  outcome.engine = encoding ? encoding->engine() : "none";
  // Declared before the group, whose destructor waits for threads that use it.
  BlobWriter writer(settings_.output, std::move(encoding), settings_.partsTable);
  std::optional<ContentsWriter> contents;
  if (!settings_.contents.empty()) contents.emplace(settings_.contents);
  const auto stopAll = [&] {
    stop();
    writer.stop();
  };
  ThreadGroup group(stopAll);
  Cancellation::Subscription cancelled(*cancellation_, stopAll);
  writer.start(group);
  for (unsigned i = 0; i < processorThreads(); i++) group.start([&] { readAhead(writer); });
  group.start([&] { assemble(writer, contents ? &*contents : nullptr, &outcome); });
  group.join();
  cancellation_->check();
  if (contents) contents->finish();
  outcome.blob = writer.finish();
  return outcome;
}

}  // namespace tsbuild

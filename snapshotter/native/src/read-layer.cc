#include "read-layer.h"

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include "buffers.h"
#include "codec.h"
#include "failure.h"
#include "layer-table.h"
#include "sha256.h"
#include "threads.h"
#include "whiteout-names.h"

namespace tsbuild {

namespace {

// How often a file is asked whether it has grown. inotify(7) would tell, but has few instances for each user and none
// on some network filesystems.
constexpr auto growthInterval = std::chrono::milliseconds(5);

// What passes from stage to stage.
constexpr size_t pieceSize = 256 * 1024;
// More than a piece has of anything but the holes of sparse files, which may be any number.
constexpr size_t partsMax = 4096;

// Some bytes of the archive, and what of files is in them.
struct ReadPiece {
  struct Part {
    // Of a file.
    ByteSpan bytes;
    // What is whole with them.
    std::optional<TarEntry> entry;
  };
  SharedBytes bytes;
  std::vector<Part> parts;
  // Only these parts: more of the same bytes come with the next piece, and so do the bytes.
  bool isBegun = false;
};

//   file -> digest -> decompress -> tar -> entries, files -> hash (diffId, digests of files) -> list or table of entries
class LayerReading {
 public:
  LayerReading(const ReadSettings& settings, const CancellationPtr& cancellation)
      : settings_(settings), cancellation_(cancellation), compressed_(8), toTar_(16), toHash_(16) {
    if (!settings.contents.empty()) table_.emplace(settings.contents);
  }

  ReadOutcome run() {
    const auto stop = [this] {
      compressed_.stop();
      toHash_.stop();
      toTar_.stop();
    };
    ThreadGroup group(stop);
    Cancellation::Subscription cancelled(*cancellation_, stop);
    group.start([this] { readBlob(); });
    group.start([this] { decompress(); });
    group.start([this] { hashArchive(); });
    group.start([this] { readArchive(); });
    group.join();
    cancellation_->check();
    if (table_) {
      table_->finish(*cancellation_);
      outcome_.implied = table_->implied();
      outcome_.isPlain = table_->isPlain();
    }
    return std::move(outcome_);
  }

 private:
  Descriptor openBlob() const {
    const std::string& arriving = settings_.arriving.path;
    Descriptor file;
    if (!arriving.empty()) {
      file.reset(open(arriving.c_str(), O_RDONLY | O_CLOEXEC));
      if (!file && errno != ENOENT) failErrno("open", arriving);
    }
    // Whole meanwhile.
    if (!file) file.reset(open(settings_.blob.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) failErrno("open", settings_.blob);
    return file;
  }

  void readBlob() {
    const Descriptor file = openBlob();
    posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    Sha256 hash;
    for (;;) {
      cancellation_->check();
      const std::shared_ptr<Bytes> bytes = buffers_->share(pieceSize);
      const ssize_t size = read(file.get(), bytes->data.get(), bytes->capacity);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) failErrno("read", settings_.blob);
      if (size == 0 && outcome_.size < settings_.arriving.size) {
        std::this_thread::sleep_for(growthInterval);
        continue;
      }
      if (size == 0) break;
      bytes->size = static_cast<size_t>(size);
      if (settings_.digestsBlob) hash.update(bytes->data.get(), bytes->size);
      outcome_.size += bytes->size;
      compressed_.push(bytes);
    }
    if (settings_.digestsBlob) outcome_.digest = hash.finish();
    compressed_.finish();
  }

  // A failure is passed on behind what was decoded before it, so that what is found of a broken archive does not depend on
  // which thread is ahead.
  void decompress() {
    try {
      decodeBlob();
    } catch (const Stopped&) {
      throw;
    } catch (...) {
      decodeFailure_ = std::current_exception();
    }
    toTar_.finish();
  }

  void decodeBlob() {
    std::unique_ptr<Decoder> decoder;
    bool isFirst = true;
    while (const auto popped = compressed_.pop()) {
      const SharedBytes& bytes = *popped;
      if (isFirst) decoder = newDecoder(settings_.compression, bytes->data.get(), bytes->size);
      isFirst = false;
      if (decoder) {
        decoder->write(bytes->data.get(), bytes->size, [this](const uint8_t* data, size_t size) {
          while (size > 0) {
            const std::shared_ptr<Bytes> copy = buffers_->share(pieceSize);
            copy->size = std::min(size, copy->capacity);
            std::copy_n(data, copy->size, copy->data.get());
            data += copy->size;
            size -= copy->size;
            passOn(copy);
          }
        });
      } else {
        passOn(bytes);
      }
    }
    // An empty blob of a stated format is damaged too.
    if (isFirst) decoder = newDecoder(settings_.compression, nullptr, 0);
    if (decoder) decoder->finish();
  }

  // False at the end.
  bool nextPiece() {
    if (current_.bytes) toHash_.push(std::move(current_));
    current_ = {};
    currentAt_ = 0;
    auto next = toTar_.pop();
    if (!next && decodeFailure_) std::rethrow_exception(decodeFailure_);
    if (next) current_.bytes = std::move(*next);
    return current_.bytes != nullptr;
  }

  void passOn(const SharedBytes& bytes) {
    uncompressedSize_ += bytes->size;
    if (uncompressedSize_ > settings_.limits.contentSizeMax) {
      failCode("bad-archive", "",
               "it is larger than the limit of " + std::to_string(settings_.limits.contentSizeMax) + " bytes");
    }
    toTar_.push(bytes);
  }

  // Files and archive together, because two at once take little longer than one.
  void hashArchive() {
    Sha256 archive;
    Sha256 file;
    while (const auto piece = toHash_.pop()) {
      ByteSpan left = {piece->bytes->data.get(), piece->isBegun ? 0 : piece->bytes->size};
      for (const auto& part : piece->parts) {
        const size_t size = std::min(part.bytes.size, left.size);
        archive.updateWith({left.data, size}, file, part.bytes);
        left = {left.data + size, left.size - size};
        if (part.entry) addEntry(*part.entry, part.entry->type == EntryType::file ? file.finish() : "");
      }
      archive.update(left.data, left.size);
    }
    outcome_.diffId = archive.finish();
  }

  // `bytes`: in the piece at hand, or zeros of a sparse file, which are constant.
  void noteContent(ByteSpan bytes) {
    current_.parts.push_back({bytes, std::nullopt});
    if (current_.parts.size() < partsMax) return;
    toHash_.push({current_.bytes, std::move(current_.parts), true});
    current_.parts.clear();
  }

  ByteSpan takeBytes(size_t sizeMax) {
    while (!current_.bytes || currentAt_ == current_.bytes->size) {
      if (!nextPiece()) return {nullptr, 0};
    }
    const size_t size = std::min(sizeMax, current_.bytes->size - currentAt_);
    const ByteSpan taken = {current_.bytes->data.get() + currentAt_, size};
    currentAt_ += size;
    return taken;
  }

  void readArchive() {
    TarReader reader([this](size_t sizeMax) { return takeBytes(sizeMax); }, settings_.limits);
    std::optional<Extractor> extractor;
    if (settings_.extracts) extractor.emplace(settings_.extract, *cancellation_);
    const auto note = [this](const uint8_t* data, size_t size) { noteContent({data, size}); };
    while (auto found = reader.next()) {
      cancellation_->check();
      if (settings_.extract.whiteouts != Whiteouts::plain) found = asLayerEntry(std::move(*found));
      if (!found) continue;
      const TarEntry& entry = *found;
      if (extractor) {
        extractor->apply(entry, reader, note);
      } else if (entry.type == EntryType::file) {
        reader.readContent(note);
      }
      current_.parts.push_back({{nullptr, 0}, std::move(found)});
    }
    if (extractor) {
      extractor->finish();
      outcome_.skipped = extractor->skipped();
    }
    // What follows the end of the archive belongs to the diffId and means nothing.
    while (nextPiece()) continue;
    toHash_.finish();
    outcome_.uncompressedSize = uncompressedSize_;
  }

  // Where its bytes are hashed, because that is when the digest of a file is known.
  void addEntry(const TarEntry& entry, const std::string& digest) {
    if (entry.type == EntryType::file) {
      auto& newest = outcome_.newestFileSec;
      newest = std::max(newest.value_or(entry.mtimeSec), entry.mtimeSec);
    }
    if (table_) table_->add(entry, digest);
    if (settings_.listsEntries) listEntry(entry, digest);
  }

  void listEntry(const TarEntry& entry, const std::string& digest) {
    Columns& columns = outcome_.entries;
    columns.add(entry.type, entry.path);
    columns.number(entry.mode);
    columns.number(static_cast<double>(entry.uid));
    columns.number(static_cast<double>(entry.gid));
    columns.number(static_cast<double>(entry.mtimeSec));
    columns.number(static_cast<double>(entry.size));
    columns.number(entry.major);
    columns.number(entry.minor);
    if (entry.type == EntryType::symlink || entry.type == EntryType::hardlink) columns.target(entry.target);
    columns.digest(digest);
    columns.xattrs(entry.xattrs);
  }

  const ReadSettings& settings_;
  const CancellationPtr cancellation_;
  ReadOutcome outcome_;
  const std::shared_ptr<Buffers> buffers_ = std::make_shared<Buffers>();
  BoundedQueue<SharedBytes> compressed_;
  BoundedQueue<SharedBytes> toTar_;
  BoundedQueue<ReadPiece> toHash_;
  // Written before the queues are finished, read after.
  std::exception_ptr decodeFailure_;
  std::atomic<uint64_t> uncompressedSize_{0};
  ReadPiece current_;
  size_t currentAt_ = 0;
  std::optional<LayerTable> table_;
};

}  // namespace

ReadOutcome readLayer(const ReadSettings& settings, const CancellationPtr& cancellation) {
  return LayerReading(settings, cancellation).run();
}

}  // namespace tsbuild

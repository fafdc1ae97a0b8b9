#include "read-layer.h"

#include <algorithm>
#include <utility>

#include "layer-table.h"
#include "sha256.h"
#include "threads.h"
#include "whiteout-names.h"

namespace tsbuild {

namespace {

// More than a piece of the archive has of anything but the holes of sparse files, which may be any number.
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

//   DecodedBlob -> tar -> entries, files -> hash (diffId, digests of files) -> list or table of entries
class LayerReading {
 public:
  LayerReading(const ReadSettings& settings, const CancellationPtr& cancellation)
      : settings_(settings), cancellation_(cancellation), blob_(settings.blob, cancellation), toHash_(16) {
    if (!settings.contents.empty()) table_.emplace(settings.contents);
  }

  ReadOutcome run() {
    const auto stop = [this] {
      blob_.stop();
      toHash_.stop();
    };
    ThreadGroup group(stop);
    Cancellation::Subscription cancelled(*cancellation_, stop);
    blob_.start(group);
    group.start([this] { hashArchive(); });
    group.start([this] { readArchive(); });
    group.join();
    cancellation_->check();
    outcome_.digest = blob_.digest();
    outcome_.size = blob_.size();
    outcome_.uncompressedSize = blob_.decodedSize();
    if (table_) {
      table_->finish(*cancellation_);
      outcome_.implied = table_->implied();
      outcome_.isPlain = table_->isPlain();
    }
    return std::move(outcome_);
  }

 private:
  // False at the end.
  bool nextPiece() {
    if (current_.bytes) toHash_.push(std::move(current_));
    current_ = {};
    currentAt_ = 0;
    current_.bytes = blob_.next();
    return current_.bytes != nullptr;
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
  DecodedBlob blob_;
  BoundedQueue<ReadPiece> toHash_;
  ReadPiece current_;
  size_t currentAt_ = 0;
  std::optional<LayerTable> table_;
};

}  // namespace

ReadOutcome readLayer(const ReadSettings& settings, const CancellationPtr& cancellation) {
  return LayerReading(settings, cancellation).run();
}

}  // namespace tsbuild

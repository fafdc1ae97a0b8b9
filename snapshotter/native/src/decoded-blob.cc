#include "decoded-blob.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "codec.h"
#include "descriptor.h"
#include "failure.h"
#include "sha256.h"

namespace tsbuild {

namespace {

// How often a file is asked whether it has grown. inotify(7) would tell, but has few instances for each user and none
// on some network filesystems.
constexpr auto growthInterval = std::chrono::milliseconds(5);

// What passes from stage to stage.
constexpr size_t pieceSize = 256 * 1024;

Descriptor openBlob(const BlobSource& source) {
  const std::string& arriving = source.arriving.path;
  Descriptor file;
  if (!arriving.empty()) {
    file.reset(open(arriving.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file && errno != ENOENT) failErrno("open", arriving);
  }
  // Whole meanwhile.
  if (!file) file.reset(open(source.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) failErrno("open", source.path);
  return file;
}

}  // namespace

DecodedBlob::DecodedBlob(BlobSource source, CancellationPtr cancellation)
    : source_(std::move(source)), cancellation_(std::move(cancellation)), compressed_(8), decoded_(16) {}

void DecodedBlob::start(ThreadGroup& group) {
  group.start([this] { readFile(); });
  group.start([this] { decompress(); });
}

void DecodedBlob::stop() {
  compressed_.stop();
  decoded_.stop();
}

void DecodedBlob::readFile() {
  const Descriptor file = openBlob(source_);
  posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  Sha256 hash;
  for (;;) {
    cancellation_->check();
    const std::shared_ptr<Bytes> bytes = buffers_->share(pieceSize);
    const ssize_t size = read(file.get(), bytes->data.get(), bytes->capacity);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) failErrno("read", source_.path);
    if (size == 0 && size_ < source_.arriving.size) {
      std::this_thread::sleep_for(growthInterval);
      continue;
    }
    if (size == 0) break;
    bytes->size = static_cast<size_t>(size);
    if (source_.isDigested) hash.update(bytes->data.get(), bytes->size);
    size_ += bytes->size;
    compressed_.push(bytes);
  }
  if (source_.isDigested) digest_ = hash.finish();
  compressed_.finish();
}

void DecodedBlob::decompress() {
  try {
    decode();
  } catch (const Stopped&) {
    throw;
  } catch (...) {
    failure_ = std::current_exception();
  }
  decoded_.finish();
}

void DecodedBlob::decode() {
  std::unique_ptr<Decoder> decoder;
  bool isFirst = true;
  while (const auto popped = compressed_.pop()) {
    const SharedBytes& bytes = *popped;
    if (isFirst) decoder = newDecoder(source_.compression, bytes->data.get(), bytes->size);
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
  if (isFirst) decoder = newDecoder(source_.compression, nullptr, 0);
  if (decoder) decoder->finish();
}

void DecodedBlob::passOn(const SharedBytes& bytes) {
  decodedSize_ += bytes->size;
  if (decodedSize_ > source_.decodedSizeMax) {
    failCode("bad-archive", "", "it is larger than the limit of " + std::to_string(source_.decodedSizeMax) + " bytes");
  }
  decoded_.push(bytes);
}

SharedBytes DecodedBlob::next() {
  auto bytes = decoded_.pop();
  if (!bytes && failure_) std::rethrow_exception(failure_);
  return bytes ? std::move(*bytes) : nullptr;
}

}  // namespace tsbuild

#include <zlib.h>

#include "codec.h"
#include "failure.h"
#include "isal.h"

namespace tsbuild {

namespace {

// Inflates gzip members one after the other.
#if TSBUILD_ISAL

class GzipInflater {
 public:
  GzipInflater() : state_(std::make_unique<inflate_state>()) { reset(); }
  void reset() {
    isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_GZIP;
  }
  // Takes some of the input; true at the end of a member.
  bool step(const uint8_t** in, size_t* inSize, uint8_t* out, size_t* outSize) {
    state_->next_in = const_cast<uint8_t*>(*in);
    state_->avail_in = static_cast<uint32_t>(*inSize);
    state_->next_out = out;
    state_->avail_out = static_cast<uint32_t>(*outSize);
    const int result = isal_inflate(state_.get());
    if (result == ISAL_INCORRECT_CHECKSUM) failDamaged("gzip", "its checksum is wrong");
    if (result < 0) failDamaged("gzip", "ISA-L error " + std::to_string(result));
    if (result > 0 && result != ISAL_END_INPUT && result != ISAL_OUT_OVERFLOW) {
      failDamaged("gzip", "ISA-L answer " + std::to_string(result));
    }
    *in = state_->next_in;
    *inSize = state_->avail_in;
    *outSize -= state_->avail_out;
    return state_->block_state == ISAL_BLOCK_FINISH;
  }

 private:
  std::unique_ptr<inflate_state> state_;
};

#else

class GzipInflater {
 public:
  GzipInflater() {
    // 16: a gzip header and trailer are wanted (zlib.h).
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) failCode("internal", "", "zlib could not be started");
  }
  ~GzipInflater() { inflateEnd(&stream_); }
  void reset() { inflateReset(&stream_); }
  bool step(const uint8_t** in, size_t* inSize, uint8_t* out, size_t* outSize) {
    stream_.next_in = const_cast<Bytef*>(*in);
    stream_.avail_in = static_cast<uInt>(*inSize);
    stream_.next_out = out;
    stream_.avail_out = static_cast<uInt>(*outSize);
    const int result = inflate(&stream_, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
      failDamaged("gzip", stream_.msg != nullptr ? stream_.msg : "zlib error " + std::to_string(result));
    }
    *in = stream_.next_in;
    *inSize = stream_.avail_in;
    *outSize -= stream_.avail_out;
    return result == Z_STREAM_END;
  }

 private:
  z_stream stream_ = {};
};

#endif

class GzipDecoder : public Decoder {
 public:
  void write(const uint8_t* data, size_t size, const ByteSink& sink) override {
    constexpr size_t outCapacity = 256 * 1024;
    if (out_.capacity == 0) out_ = Bytes(outCapacity);
    for (;;) {
      if (place_ == Place::between) skipPadding(&data, &size);
      if (place_ != Place::inside) {
        if (size == 0) return;
        begin(data);
      }
      size_t produced = out_.capacity;
      const size_t sizeBefore = size;
      const bool ended = inflater_.step(&data, &size, out_.data.get(), &produced);
      if (produced > 0) sink(out_.data.get(), produced);
      if (ended) {
        place_ = Place::between;
        continue;
      }
      if (produced < out_.capacity && (size == 0 || size == sizeBefore)) return;
    }
  }

  void finish() override {
    if (place_ == Place::start) failDamaged("gzip", "it is empty");
    if (place_ == Place::inside) failDamaged("gzip", "it ends too early");
  }

 private:
  enum class Place { start, inside, between };

  void begin(const uint8_t* data) {
    if (place_ == Place::between) {
      if (data[0] != 0x1f) failDamaged("gzip", "something else follows its end");
      inflater_.reset();
    }
    place_ = Place::inside;
  }

  // Tapes and some writers pad with zeros; gzip(1) ignores them too.
  void skipPadding(const uint8_t** data, size_t* size) {
    while (*size > 0 && **data == 0) {
      *data += 1;
      *size -= 1;
    }
  }

  GzipInflater inflater_;
  Place place_ = Place::start;
  Bytes out_;
};

}  // namespace

std::unique_ptr<Decoder> newGzipDecoder() { return std::make_unique<GzipDecoder>(); }

}  // namespace tsbuild

#include <zlib.h>

#include "codec.h"
#include "crc32.h"
#include "failure.h"
#include "isal.h"

// One gzip member: raw deflate blocks, each ended by a sync flush (it aligns to a byte, so blocks can be put one after the
// other), then an empty last block. zlib sees the 32 KiB before its block, so the ratio is that of one stream.
namespace tsbuild {

namespace {

constexpr size_t gzipBlockSize = 1024 * 1024;
constexpr size_t gzipPartSizeMin = 32 * 1024;

void appendLittle32(std::string& out, uint32_t value) {
  for (int i = 0; i < 4; i++) out += static_cast<char>(value >> (8 * i));
}

class ZlibEncoder : public BlockEncoder {
 public:
  explicit ZlibEncoder(int level) : level_(level) {}

  Bytes encode(const Bytes& block, const std::string& before) override {
    // Begun anew for each block: the zlib of Node hashes some bytes behind the dictionary too, which after a mere
    // deflateReset are of the block that this thread had before, so that the result would depend on the threads.
    Stream stream(level_);
    if (!before.empty()) {
      deflateSetDictionary(&stream.z, reinterpret_cast<const Bytef*>(before.data()), static_cast<uInt>(before.size()));
    }
    Bytes out(deflateBound(&stream.z, block.size) + 16);
    stream.z.next_in = block.data.get();
    stream.z.avail_in = static_cast<uInt>(block.size);
    stream.z.next_out = out.data.get();
    stream.z.avail_out = static_cast<uInt>(out.capacity);
    if (deflate(&stream.z, Z_SYNC_FLUSH) != Z_OK || stream.z.avail_in != 0 || stream.z.avail_out == 0) {
      failCode("internal", "", "zlib did not compress a block");
    }
    out.size = out.capacity - stream.z.avail_out;
    return out;
  }

 private:
  struct Stream {
    explicit Stream(int level) {
      // Negative window bits: no zlib header (zlib.h).
      if (deflateInit2(&z, level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        failCode("internal", "", "zlib could not be started");
      }
    }
    ~Stream() { deflateEnd(&z); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    z_stream z = {};
  };

  const int level_;
};

class GzipEncoding : public Encoding {
 public:
  size_t blockSize() const override { return gzipBlockSize; }
  size_t partSizeMin() const override { return gzipPartSizeMin; }

  // RFC 1952: deflate, no name, no time, made on Unix: nothing in it changes from run to run.
  std::string header() const override { return std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03", 10); }

  uint32_t checksum(const Bytes& block) const override { return crc32Of(block.data.get(), block.size); }

  void account(uint32_t checksum, size_t size) override {
    crc_ = crc32OfBoth(crc_, checksum, size);
    size_ += size;
  }

  std::string trailer() const override {
    // An empty last block with fixed codes (RFC 1951, 3.2.6).
    std::string out("\x03\0", 2);
    appendLittle32(out, crc_);
    appendLittle32(out, static_cast<uint32_t>(size_));
    return out;
  }

 private:
  uint32_t crc_ = 0;
  uint64_t size_ = 0;
};

class ZlibEncoding : public GzipEncoding {
 public:
  explicit ZlibEncoding(int level) : level_(level) {}
  std::string engine() const override { return std::string("zlib-") + zlibVersion() + "/" + std::to_string(level_); }
  size_t dictionarySize() const override { return 32 * 1024; }
  std::unique_ptr<BlockEncoder> newEncoder() const override { return std::make_unique<ZlibEncoder>(level_); }

 private:
  const int level_;
};

#if TSBUILD_ISAL

// The first bytes of a block are compressed by themselves, six to ten bytes more for each block. In levels 1 and 2 ISA-L
// takes a hash of bits of the address of its state where it means one of the data, that of the third position, when it
// begins with more than 16 bytes (`.write_first_byte` in igzip_icf_body_h1_gr_bt.asm, 2.30 to 2.32: its tmp2 still is the
// argument of the function). About once in 5,000 blocks that shows in what is found, so the bytes came out different from
// run to run. With up to 16 bytes another function begins, which is right.
constexpr size_t isalFirstSize = 8;

class IsalEncoder : public BlockEncoder {
 public:
  explicit IsalEncoder(int level) : stream_(std::make_unique<isal_zstream>()), levelBuffer_(levelBufferSize(level)) {
    isal_deflate_init(stream_.get());
    stream_->level = static_cast<uint32_t>(level);
    stream_->level_buf = levelBuffer_.data.get();
    stream_->level_buf_size = static_cast<uint32_t>(levelBuffer_.capacity);
  }

  Bytes encode(const Bytes& block, const std::string&) override {
    isal_deflate_reset(stream_.get());
    stream_->gzip_flag = IGZIP_DEFLATE;
    stream_->flush = SYNC_FLUSH;
    stream_->end_of_stream = 0;
    // Incompressible data is stored, at 5 bytes for each 64 KiB; the rest is for the flushes.
    if (scratch_.capacity == 0) scratch_ = Bytes(gzipBlockSize + gzipBlockSize / 64 + 4096);
    stream_->next_out = scratch_.data.get();
    stream_->avail_out = static_cast<uint32_t>(scratch_.capacity);
    const size_t first = block.size > isalFirstSize * 2 ? isalFirstSize : 0;
    if (first > 0) deflate(block.data.get(), first);
    deflate(block.data.get() + first, block.size - first);
    return copyOf(scratch_.data.get(), scratch_.capacity - stream_->avail_out);
  }

 private:
  void deflate(uint8_t* data, size_t size) {
    stream_->next_in = data;
    stream_->avail_in = static_cast<uint32_t>(size);
    if (isal_deflate(stream_.get()) != COMP_OK || stream_->avail_in != 0 || stream_->avail_out == 0) {
      failCode("internal", "", "ISA-L did not compress a block");
    }
  }

  static size_t levelBufferSize(int level) {
    if (level == 1) return ISAL_DEF_LVL1_DEFAULT;
    if (level == 2) return ISAL_DEF_LVL2_DEFAULT;
    return ISAL_DEF_LVL3_DEFAULT;
  }

  std::unique_ptr<isal_zstream> stream_;
  Bytes levelBuffer_;
  Bytes scratch_;
};

// ISA-L chooses functions by the processor. On x86-64 all of them find the same matches from SSE 4.2 on, whose CRC
// instruction is their hash; the C functions below that have another hash (huffman.h), so other bytes come out.
std::string isalVariant() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("sse4.2") ? "" : "-base";
#elif defined(__aarch64__)
  return "-aarch64";
#else
  return "-base";
#endif
}

class IsalEncoding : public GzipEncoding {
 public:
  explicit IsalEncoding(int level) : level_(level) {}
  // `+8`: see isalFirstSize. Before that the same engine made other bytes.
  std::string engine() const override {
    return "isal-" + std::to_string(ISAL_MAJOR_VERSION) + "." + std::to_string(ISAL_MINOR_VERSION) +
           isalVariant() + "+8/" +
           std::to_string(level_);
  }
  std::unique_ptr<BlockEncoder> newEncoder() const override { return std::make_unique<IsalEncoder>(level_); }

 private:
  const int level_;
};

#endif

}  // namespace

std::unique_ptr<Encoding> newGzipEncoding(int level) {
  if (level < defaultLevel || level > 9) failCode("bad-level", "", "gzip has the levels 0 to 9");
#if TSBUILD_ISAL
  // Its own levels end at 3; level 0 of gzip means stored, which only zlib does.
  if (level == defaultLevel) return std::make_unique<IsalEncoding>(1);
  if (level >= 1 && level <= 3) return std::make_unique<IsalEncoding>(level);
#endif
  // zlib's own default, 6, takes three times as long as 1 for a few percent less.
  return std::make_unique<ZlibEncoding>(level == defaultLevel ? 1 : level);
}

}  // namespace tsbuild

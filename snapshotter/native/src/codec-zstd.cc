#include <string>

#include "codec.h"
#include "failure.h"
#include "library.h"

// Prototypes as in zstd.h of 1.4 and later, whose stable part does not change.
struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace tsbuild {

namespace {

struct InBuffer {
  const void* src;
  size_t size;
  size_t pos;
};
struct OutBuffer {
  void* dst;
  size_t size;
  size_t pos;
};
constexpr int parameterLevel = 100;
constexpr int parameterChecksum = 201;

struct Zstd {
  const Library library{"libzstd.so.1", "ZSTD_compress2", "libzstd1"};
  ZSTD_CCtx_s* (*const createCCtx)() = library.get<ZSTD_CCtx_s*()>("ZSTD_createCCtx");
  size_t (*const freeCCtx)(ZSTD_CCtx_s*) = library.get<size_t(ZSTD_CCtx_s*)>("ZSTD_freeCCtx");
  size_t (*const setParameter)(ZSTD_CCtx_s*, int, int) =
      library.get<size_t(ZSTD_CCtx_s*, int, int)>("ZSTD_CCtx_setParameter");
  size_t (*const compress2)(ZSTD_CCtx_s*, void*, size_t, const void*, size_t) =
      library.get<size_t(ZSTD_CCtx_s*, void*, size_t, const void*, size_t)>("ZSTD_compress2");
  size_t (*const compressBound)(size_t) = library.get<size_t(size_t)>("ZSTD_compressBound");
  ZSTD_DCtx_s* (*const createDCtx)() = library.get<ZSTD_DCtx_s*()>("ZSTD_createDCtx");
  size_t (*const freeDCtx)(ZSTD_DCtx_s*) = library.get<size_t(ZSTD_DCtx_s*)>("ZSTD_freeDCtx");
  size_t (*const decompressStream)(ZSTD_DCtx_s*, OutBuffer*, InBuffer*) =
      library.get<size_t(ZSTD_DCtx_s*, OutBuffer*, InBuffer*)>("ZSTD_decompressStream");
  unsigned (*const isError)(size_t) = library.get<unsigned(size_t)>("ZSTD_isError");
  const char* (*const errorName)(size_t) = library.get<const char*(size_t)>("ZSTD_getErrorName");
  const char* (*const version)() = library.get<const char*()>("ZSTD_versionString");
};

const Zstd& zstd() {
  static const Zstd instance;
  return instance;
}

// Each block is a frame of its own: a sequence of frames is one valid stream (RFC 8878, 3).
constexpr size_t zstdBlockSize = 4 * 1024 * 1024;
constexpr size_t zstdPartSizeMin = 1024 * 1024;

class ZstdEncoder : public BlockEncoder {
 public:
  explicit ZstdEncoder(int level) : context_(zstd().createCCtx()) {
    zstd().setParameter(context_, parameterLevel, level);
    zstd().setParameter(context_, parameterChecksum, 1);
  }
  ~ZstdEncoder() override { zstd().freeCCtx(context_); }

  Bytes encode(const Bytes& block, const std::string&) override {
    if (scratch_.capacity == 0) scratch_ = Bytes(zstd().compressBound(zstdBlockSize));
    const size_t size =
        zstd().compress2(context_, scratch_.data.get(), scratch_.capacity, block.data.get(), block.size);
    if (zstd().isError(size)) failCode("internal", "", std::string("zstd: ") + zstd().errorName(size));
    return copyOf(scratch_.data.get(), size);
  }

 private:
  // As large as a block that cannot be compressed; what waits to be written has only its own size.
  Bytes scratch_;
  ZSTD_CCtx_s* const context_;
};

class ZstdEncoding : public Encoding {
 public:
  explicit ZstdEncoding(int level) : level_(level) { zstd(); }
  std::string engine() const override {
    return std::string("zstd-") + zstd().version() + "/" + std::to_string(level_);
  }
  size_t blockSize() const override { return zstdBlockSize; }
  size_t partSizeMin() const override { return zstdPartSizeMin; }
  std::unique_ptr<BlockEncoder> newEncoder() const override { return std::make_unique<ZstdEncoder>(level_); }

 private:
  const int level_;
};

class ZstdDecoder : public Decoder {
 public:
  ZstdDecoder() : context_(zstd().createDCtx()), out_(256 * 1024) {}
  ~ZstdDecoder() override { zstd().freeDCtx(context_); }

  void write(const uint8_t* data, size_t size, const ByteSink& sink) override {
    InBuffer in = {data, size, 0};
    for (;;) {
      OutBuffer out = {out_.data.get(), out_.capacity, 0};
      const size_t inBefore = in.pos;
      const size_t left = zstd().decompressStream(context_, &out, &in);
      if (zstd().isError(left)) failDamaged("zstd", zstd().errorName(left));
      if (out.pos > 0) sink(out_.data.get(), out.pos);
      if (in.pos != inBefore || out.pos > 0) isWhole_ = left == 0;
      if (in.pos == in.size && out.pos < out.size) return;
    }
  }

  void finish() override {
    if (!isWhole_) failDamaged("zstd", "it ends too early");
  }

 private:
  ZSTD_DCtx_s* const context_;
  Bytes out_;
  // Whether the input so far ends at the end of a frame.
  bool isWhole_ = false;
};

}  // namespace

std::unique_ptr<Encoding> newZstdEncoding(int level) {
  if (level != defaultLevel && (level < 1 || level > 22)) {
    failCode("bad-level", "", "zstd has the levels 1 to 22");
  }
  return std::make_unique<ZstdEncoding>(level == defaultLevel ? 3 : level);
}

std::unique_ptr<Decoder> newZstdDecoder() { return std::make_unique<ZstdDecoder>(); }

}  // namespace tsbuild

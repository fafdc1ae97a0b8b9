#include "codec.h"
#include "failure.h"
#include "library.h"

namespace tsbuild {

namespace {

// lzma_stream of lzma/base.h; its layout is fixed for libraries named liblzma.so.5.
struct LzmaStream {
  const uint8_t* nextIn;
  size_t availIn;
  uint64_t totalIn;
  uint8_t* nextOut;
  size_t availOut;
  uint64_t totalOut;
  const void* allocator;
  void* internal;
  void* reservedPointers[4];
  uint64_t seekPosition;
  uint64_t reservedInteger;
  size_t reservedSizes[2];
  int reservedEnums[2];
};
constexpr int actionRun = 0;
constexpr int actionFinish = 3;
constexpr int resultOk = 0;
constexpr int resultStreamEnd = 1;
constexpr int resultMemoryLimit = 6;
constexpr int resultBuffer = 10;
constexpr uint32_t flagConcatenated = 0x08;
// What `xz -9` needs is 65 MiB; more than this is an attempt to use up memory.
constexpr uint64_t memoryMax = 256ull * 1024 * 1024;

struct Lzma {
  const Library library{"liblzma.so.5", "lzma_stream_decoder", "liblzma5"};
  int (*const streamDecoder)(LzmaStream*, uint64_t, uint32_t) =
      library.get<int(LzmaStream*, uint64_t, uint32_t)>("lzma_stream_decoder");
  int (*const code)(LzmaStream*, int) = library.get<int(LzmaStream*, int)>("lzma_code");
  void (*const end)(LzmaStream*) = library.get<void(LzmaStream*)>("lzma_end");
};

const Lzma& lzma() {
  static const Lzma instance;
  return instance;
}

class XzDecoder : public Decoder {
 public:
  XzDecoder() : out_(256 * 1024) {
    if (lzma().streamDecoder(&stream_, memoryMax, flagConcatenated) != resultOk) {
      failCode("internal", "", "liblzma could not be started");
    }
  }
  ~XzDecoder() override { lzma().end(&stream_); }

  void write(const uint8_t* data, size_t size, const ByteSink& sink) override {
    stream_.nextIn = data;
    stream_.availIn = size;
    run(actionRun, sink);
  }

  void finish() override {
    stream_.availIn = 0;
    // Only now is it known that no other stream follows; all output was given before.
    const int result = run(actionFinish, [](const uint8_t*, size_t) {});
    if (result != resultStreamEnd) failDamaged("xz", "it ends too early");
  }

 private:
  int run(int action, const ByteSink& sink) {
    for (;;) {
      stream_.nextOut = out_.data.get();
      stream_.availOut = out_.capacity;
      const int result = lzma().code(&stream_, action);
      const size_t produced = out_.capacity - stream_.availOut;
      if (produced > 0) sink(out_.data.get(), produced);
      if (result == resultMemoryLimit) failDamaged("xz", "it needs too much memory");
      if (result == resultStreamEnd || result == resultBuffer) return result;
      if (result != resultOk) failDamaged("xz", "liblzma error " + std::to_string(result));
      if (stream_.availIn == 0 && stream_.availOut > 0 && action == actionRun) return result;
    }
  }

  LzmaStream stream_ = {};
  Bytes out_;
};

}  // namespace

std::unique_ptr<Decoder> newXzDecoder() { return std::make_unique<XzDecoder>(); }

}  // namespace tsbuild

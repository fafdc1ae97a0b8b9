#include "codec.h"
#include "failure.h"
#include "library.h"

namespace tsbuild {

namespace {

// bz_stream of bzlib.h; unchanged since 1.0.
struct BzStream {
  const char* nextIn;
  unsigned availIn;
  unsigned totalInLow;
  unsigned totalInHigh;
  char* nextOut;
  unsigned availOut;
  unsigned totalOutLow;
  unsigned totalOutHigh;
  void* state;
  void* allocate;
  void* free;
  void* opaque;
};
constexpr int resultOk = 0;
constexpr int resultStreamEnd = 4;

struct Bzip2 {
  const Library library{"libbz2.so.1.0", "BZ2_bzDecompress", "libbz2-1.0"};
  int (*const init)(BzStream*, int, int) = library.get<int(BzStream*, int, int)>("BZ2_bzDecompressInit");
  int (*const decompress)(BzStream*) = library.get<int(BzStream*)>("BZ2_bzDecompress");
  int (*const end)(BzStream*) = library.get<int(BzStream*)>("BZ2_bzDecompressEnd");
};

const Bzip2& bzip2() {
  static const Bzip2 instance;
  return instance;
}

class Bzip2Decoder : public Decoder {
 public:
  Bzip2Decoder() : out_(256 * 1024) { bzip2(); }
  ~Bzip2Decoder() override { close(); }

  void write(const uint8_t* data, size_t size, const ByteSink& sink) override {
    stream_.nextIn = reinterpret_cast<const char*>(data);
    stream_.availIn = static_cast<unsigned>(size);
    for (;;) {
      // Several streams may follow one another (pbzip2).
      if (!isOpen_ && stream_.availIn == 0) return;
      if (!isOpen_) open();
      stream_.nextOut = reinterpret_cast<char*>(out_.data.get());
      stream_.availOut = static_cast<unsigned>(out_.capacity);
      const int result = bzip2().decompress(&stream_);
      const size_t produced = out_.capacity - stream_.availOut;
      if (produced > 0) sink(out_.data.get(), produced);
      if (result == resultStreamEnd) {
        close();
      } else if (result != resultOk) {
        failDamaged("bzip2", "libbz2 error " + std::to_string(result));
      } else if (stream_.availIn == 0 && stream_.availOut > 0) {
        return;
      }
    }
  }

  void finish() override {
    if (isOpen_) failDamaged("bzip2", "it ends too early");
  }

 private:
  void open() {
    const char* nextIn = stream_.nextIn;
    const unsigned availIn = stream_.availIn;
    stream_ = {};
    if (bzip2().init(&stream_, 0, 0) != resultOk) failCode("internal", "", "libbz2 could not be started");
    stream_.nextIn = nextIn;
    stream_.availIn = availIn;
    isOpen_ = true;
  }

  void close() {
    if (isOpen_) bzip2().end(&stream_);
    isOpen_ = false;
  }

  BzStream stream_ = {};
  bool isOpen_ = false;
  Bytes out_;
};

}  // namespace

std::unique_ptr<Decoder> newBzip2Decoder() { return std::make_unique<Bzip2Decoder>(); }

}  // namespace tsbuild

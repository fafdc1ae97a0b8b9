#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "bytes.h"

namespace tsbuild {

// Compression works on blocks of a fixed size, each by itself, so that the bytes do not depend on the number of threads.
class BlockEncoder {
 public:
  virtual ~BlockEncoder() = default;
  // `before` are the up to 32 KiB that precede the block; of a part, nothing.
  virtual Bytes encode(const Bytes& block, const std::string& before) = 0;
};

class Encoding {
 public:
  virtual ~Encoding() = default;
  // Library, version and level: what the bytes depend on besides the content.
  virtual std::string engine() const = 0;
  virtual size_t blockSize() const = 0;
  // The smallest content of a file (or of `blockSize` of it) that is compressed by itself, so that it can be taken over
  // from another layer (encoded-part.h). What matches it has before it is lost, so the smaller the costlier.
  virtual size_t partSizeMin() const = 0;
  // Bytes before the block that an encoder wants to see.
  virtual size_t dictionarySize() const { return 0; }
  // One for each thread.
  virtual std::unique_ptr<BlockEncoder> newEncoder() const = 0;
  virtual std::string header() const { return ""; }
  // Of a block; any thread may call it.
  virtual uint32_t checksum(const Bytes&) const { return 0; }
  // Called with the checksum and size of every block in order, by one thread.
  virtual void account(uint32_t, size_t) {}
  virtual std::string trailer() const { return ""; }
};

constexpr int defaultLevel = -1;
// Failure `bad-level` when the format has no such level, `codec-missing` when the library is not installed.
std::unique_ptr<Encoding> newGzipEncoding(int level);
std::unique_ptr<Encoding> newZstdEncoding(int level);
// `name`: gzip or zstd; null for uncompressed.
std::unique_ptr<Encoding> newEncoding(const std::string& name, int level);

using ByteSink = std::function<void(const uint8_t* data, size_t size)>;

// Decompresses what it is given piece by piece. Damaged input is Failure `bad-archive`.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void write(const uint8_t* data, size_t size, const ByteSink& sink) = 0;
  // The input is over; damage when it stops in the middle.
  virtual void finish() = 0;
};

std::unique_ptr<Decoder> newGzipDecoder();
std::unique_ptr<Decoder> newZstdDecoder();
std::unique_ptr<Decoder> newXzDecoder();
std::unique_ptr<Decoder> newBzip2Decoder();

// `name`: uncompressed, gzip, zstd or auto (by the magic bytes in `start`). Null: the bytes are the archive already.
std::unique_ptr<Decoder> newDecoder(const std::string& name, const uint8_t* start, size_t size);

[[noreturn]] void failDamaged(const char* format, const std::string& reason);

}  // namespace tsbuild

#include "sha256.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "failure.h"

namespace tsbuild {

namespace {

// FIPS 180-4, 5.3.3.
constexpr ShaState initialState = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
constexpr size_t digestSize = 32;

// Fetched once: an implicit fetch at every start costs more than hashing a small file.
const EVP_MD* algorithm() {
  static const EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return md;
}

void putBig(uint8_t* to, uint64_t value, size_t size) {
  for (size_t i = size; i > 0; i--, value >>= 8) to[i - 1] = static_cast<uint8_t>(value);
}

std::string digestText(const uint8_t* raw) {
  static const char hex[] = "0123456789abcdef";
  std::string out = "sha256:";
  for (size_t i = 0; i < digestSize; i++) {
    out += hex[raw[i] >> 4];
    out += hex[raw[i] & 15];
  }
  return out;
}

ByteSpan after(ByteSpan bytes, size_t size) { return {bytes.data + size, bytes.size - size}; }

}  // namespace

Sha256::Sha256() {
  if (!hasShaInstructions()) {
    context_ = EVP_MD_CTX_new();
    if (context_ == nullptr) throw std::bad_alloc();
  }
  start();
}

Sha256::~Sha256() { EVP_MD_CTX_free(context_); }

void Sha256::start() {
  size_ = 0;
  inBlock_ = 0;
  std::copy(std::begin(initialState), std::end(initialState), state_);
  if (context_ == nullptr) return;
  if (algorithm() == nullptr || EVP_DigestInit_ex(context_, algorithm(), nullptr) != 1) {
    failCode("internal", "", "OpenSSL offers no SHA-256");
  }
}

// Completes a block that was begun, as far as `bytes` do, and takes that off them.
void Sha256::fillBlock(ByteSpan* bytes) {
  size_ += bytes->size;
  // Of nothing there may be no address either, which memcpy must not get.
  if (inBlock_ == 0 || bytes->size == 0) return;
  const size_t part = std::min(shaBlockSize - inBlock_, bytes->size);
  std::memcpy(block_ + inBlock_, bytes->data, part);
  inBlock_ += part;
  *bytes = after(*bytes, part);
  if (inBlock_ < shaBlockSize) return;
  shaBlocks(state_, block_, 1);
  inBlock_ = 0;
}

// All whole blocks, and begins one of the rest.
void Sha256::keepRest(ByteSpan bytes) {
  if (bytes.size == 0) return;
  const size_t blocks = bytes.size / shaBlockSize;
  shaBlocks(state_, bytes.data, blocks);
  bytes = after(bytes, blocks * shaBlockSize);
  std::memcpy(block_, bytes.data, bytes.size);
  inBlock_ = bytes.size;
}

void Sha256::update(const void* data, size_t size) {
  if (context_ != nullptr) {
    EVP_DigestUpdate(context_, data, size);
    return;
  }
  ByteSpan bytes = {static_cast<const uint8_t*>(data), size};
  fillBlock(&bytes);
  keepRest(bytes);
}

void Sha256::updateWith(ByteSpan bytes, Sha256& other, ByteSpan otherBytes) {
  if (context_ != nullptr) {
    update(bytes.data, bytes.size);
    other.update(otherBytes.data, otherBytes.size);
    return;
  }
  fillBlock(&bytes);
  other.fillBlock(&otherBytes);
  const size_t blocks = std::min(bytes.size, otherBytes.size) / shaBlockSize;
  if (blocks > 0) shaBlocksOfTwo(state_, bytes.data, other.state_, otherBytes.data, blocks);
  keepRest(after(bytes, blocks * shaBlockSize));
  other.keepRest(after(otherBytes, blocks * shaBlockSize));
}

std::string Sha256::finish() {
  uint8_t raw[EVP_MAX_MD_SIZE];
  if (context_ != nullptr) {
    unsigned int size = 0;
    EVP_DigestFinal_ex(context_, raw, &size);
  } else {
    // A one bit, zeros, and the number of bits in eight bytes (FIPS 180-4, 5.1.1).
    uint8_t padding[2 * shaBlockSize] = {0x80};
    const size_t size = (inBlock_ < shaBlockSize - 8 ? shaBlockSize : 2 * shaBlockSize) - inBlock_;
    putBig(padding + size - 8, size_ * 8, 8);
    update(padding, size);
    for (size_t i = 0; i < digestSize / 4; i++) putBig(raw + 4 * i, state_[i], 4);
  }
  start();
  return digestText(raw);
}

std::string digestOf(ByteSpan message) {
  Sha256 hash;
  hash.update(message.data, message.size);
  return hash.finish();
}

}  // namespace tsbuild

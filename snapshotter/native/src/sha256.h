#pragma once

#include <openssl/evp.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "bytes.h"
#include "sha256-blocks.h"

namespace tsbuild {

// SHA-256 by the processor's instructions for it, else by the OpenSSL that is part of Node.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(const void* data, size_t size);
  // `bytes` to this one and `otherBytes` to `other`: in little more time than the longer of them alone.
  void updateWith(ByteSpan bytes, Sha256& other, ByteSpan otherBytes);
  // `sha256:<64 hex>` of all since the last call; the next update starts anew.
  std::string finish();

 private:
  void start();
  void fillBlock(ByteSpan* bytes);
  void keepRest(ByteSpan bytes);

  // Null: by the instructions, with what follows.
  EVP_MD_CTX* context_ = nullptr;
  ShaState state_;
  uint64_t size_ = 0;
  uint8_t block_[shaBlockSize];
  size_t inBlock_ = 0;
};

std::string digestOf(ByteSpan message);

// Characters of `sha256:<64 hex>`.
constexpr size_t digestLength = 71;

}  // namespace tsbuild

#pragma once

#include <openssl/evp.h>

#include <cstddef>
#include <string>

namespace tsbuild {

// SHA-256 by the OpenSSL that is part of Node (it uses the processor's instructions for it).
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(const void* data, size_t size);
  // `sha256:<64 hex>` of all since the last call; the next update starts anew.
  std::string finish();

 private:
  void start();

  EVP_MD_CTX* context_;
};

// Characters of `sha256:<64 hex>`.
constexpr size_t digestLength = 71;

}  // namespace tsbuild

#include "sha256.h"

#include "failure.h"

namespace tsbuild {

namespace {

// Fetched once: an implicit fetch at every start costs more than hashing a small file.
const EVP_MD* algorithm() {
  static const EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return md;
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) { start(); }

Sha256::~Sha256() { EVP_MD_CTX_free(context_); }

void Sha256::start() {
  if (algorithm() == nullptr || EVP_DigestInit_ex(context_, algorithm(), nullptr) != 1) {
    failCode("internal", "", "OpenSSL offers no SHA-256");
  }
}

void Sha256::update(const void* data, size_t size) { EVP_DigestUpdate(context_, data, size); }

std::string Sha256::finish() {
  static const char hex[] = "0123456789abcdef";
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(context_, raw, &size);
  std::string out = "sha256:";
  for (unsigned i = 0; i < size; i++) {
    out += hex[raw[i] >> 4];
    out += hex[raw[i] & 15];
  }
  start();
  return out;
}

}  // namespace tsbuild

#include "columns.h"

#include <algorithm>

#include "path-bytes.h"

namespace tsbuild {

void Columns::add(EntryType type, std::string_view path) {
  count_ += 1;
  numbers_.push_back(static_cast<double>(type));
  paths_ += path;
  paths_ += '\0';
}

void Columns::target(std::string_view value) {
  targets_ += value;
  targets_ += '\0';
}

void Columns::xattrs(const std::vector<Xattr>& attributes) {
  for (const auto& attribute : attributes) xattrs_.push_back({count_ - 1, attribute});
}

Napi::Object Columns::toJs(Napi::Env env) const {
  auto out = Napi::Object::New(env);
  auto numbers = Napi::Float64Array::New(env, numbers_.size());
  std::copy(numbers_.begin(), numbers_.end(), numbers.Data());
  out.Set("count", static_cast<double>(count_));
  out.Set("numbers", numbers);
  out.Set("paths", pathToJs(env, paths_));
  out.Set("targets", pathToJs(env, targets_));
  out.Set("digests", Napi::String::New(env, digests_));
  auto xattrs = Napi::Array::New(env);
  uint32_t at = 0;
  for (const auto& [entry, attribute] : xattrs_) {
    xattrs.Set(at++, static_cast<double>(entry));
    xattrs.Set(at++, pathToJs(env, attribute.name));
    const auto* value = reinterpret_cast<const uint8_t*>(attribute.value.data());
    xattrs.Set(at++, Napi::Buffer<uint8_t>::Copy(env, value, attribute.value.size()));
  }
  out.Set("xattrs", xattrs);
  return out;
}

}  // namespace tsbuild

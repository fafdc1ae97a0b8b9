#include "extract-js.h"

#include "path-bytes.h"

namespace tsbuild {

Whiteouts whiteoutsFromJs(const Napi::Value& value) {
  const std::string name = pathFromJs(value);
  if (name == "overlay") return Whiteouts::overlay;
  return name == "apply" ? Whiteouts::apply : Whiteouts::plain;
}

Napi::Array skippedToJs(Napi::Env env, const std::vector<Skipped>& skipped) {
  auto out = Napi::Array::New(env);
  for (size_t i = 0; i < skipped.size(); i++) {
    auto item = Napi::Object::New(env);
    item.Set("path", pathToJs(env, skipped[i].path));
    item.Set("what", pathToJs(env, skipped[i].what));
    out.Set(static_cast<uint32_t>(i), item);
  }
  return out;
}

}  // namespace tsbuild

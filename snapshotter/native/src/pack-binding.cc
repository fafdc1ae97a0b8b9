#include <napi.h>

#include "families.h"
#include "job.h"
#include "pack.h"
#include "path-bytes.h"

namespace tsbuild {

namespace {

// Numbers of each entry in the order of native/entry-columns.ts.
constexpr size_t numbersPerItem = 9;

// Takes the next element of a list that crossed the boundary as one string.
class ListReader {
 public:
  explicit ListReader(const Napi::Value& joined) : values_(splitList(pathFromJs(joined))) {}
  std::string next() { return at_ < values_.size() ? std::move(values_[at_++]) : std::string(); }

 private:
  std::vector<std::string> values_;
  size_t at_ = 0;
};

Bytes copyBytes(const Napi::Value& value) {
  const auto array = value.As<Napi::Uint8Array>();
  Bytes out(array.ByteLength());
  out.size = array.ByteLength();
  std::copy(array.Data(), array.Data() + out.size, out.data.get());
  return out;
}

void readXattrs(const Napi::Array& flat, std::vector<PackItem>& items) {
  for (uint32_t i = 0; i + 2 < flat.Length(); i += 3) {
    const uint32_t entry = flat.Get(i).As<Napi::Number>();
    const Bytes value = copyBytes(flat.Get(i + 2));
    items.at(entry).entry.xattrs.push_back(
        {pathFromJs(flat.Get(i + 1)), std::string(reinterpret_cast<const char*>(value.data.get()), value.size)});
  }
}

// The batch as encodePackEntries of native/entry-columns.ts makes it.
std::vector<PackItem> readItems(const Napi::Object& batch) {
  const auto numbers = batch.Get("numbers").As<Napi::Float64Array>();
  ListReader paths(batch.Get("paths"));
  ListReader targets(batch.Get("targets"));
  ListReader sourcePaths(batch.Get("sourcePaths"));
  ListReader expects(batch.Get("expects"));
  const auto roots = splitList(pathFromJs(batch.Get("roots")));
  const auto contents = batch.Get("contents").As<Napi::Array>();
  uint32_t content = 0;
  std::vector<PackItem> items(numbers.ElementLength() / numbersPerItem);
  for (size_t i = 0; i < items.size(); i++) {
    const double* n = numbers.Data() + i * numbersPerItem;
    PackItem& item = items[i];
    TarEntry& entry = item.entry;
    entry.type = static_cast<EntryType>(static_cast<int>(n[0]));
    entry.path = paths.next();
    entry.mode = static_cast<uint32_t>(n[1]);
    entry.uid = static_cast<uint64_t>(n[2]);
    entry.gid = static_cast<uint64_t>(n[3]);
    entry.mtimeSec = static_cast<int64_t>(n[4]);
    entry.size = static_cast<uint64_t>(n[5]);
    entry.major = static_cast<uint32_t>(n[6]);
    entry.minor = static_cast<uint32_t>(n[7]);
    if (entry.type == EntryType::symlink || entry.type == EntryType::hardlink) entry.target = targets.next();
    if (entry.type != EntryType::file) continue;
    item.expect = expects.next();
    if (n[8] < 0) {
      item.content = copyBytes(contents.Get(content++));
    } else {
      item.sourceRoot = roots.at(static_cast<size_t>(n[8]));
      item.sourcePath = sourcePaths.next();
    }
  }
  readXattrs(batch.Get("xattrs").As<Napi::Array>(), items);
  return items;
}

Napi::Value outcomeToJs(Napi::Env env, const PackOutcome& outcome) {
  auto out = Napi::Object::New(env);
  out.Set("diffId", outcome.blob.diffId);
  out.Set("uncompressedSizeBytes", static_cast<double>(outcome.blob.uncompressedSize));
  out.Set("digest", outcome.blob.digest);
  out.Set("sizeBytes", static_cast<double>(outcome.blob.size));
  out.Set("engine", outcome.engine);
  out.Set("fileDigests", outcome.fileDigests);
  return out;
}

// createPacker(output | "", compression, level | -1, cancellation, drained) -> { add(batch): hasRoom, end(), done }
Napi::Value createPacker(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  PackSettings settings;
  settings.output = pathFromJs(info[0]);
  settings.compression = pathFromJs(info[1]);
  settings.level = info[2].As<Napi::Number>();
  const auto cancellation = cancellationFromJs(info[3]);
  auto drained = Napi::ThreadSafeFunction::New(env, info[4].As<Napi::Function>(), "tsbuild packer", 0, 1);
  const auto packer = std::make_shared<Packer>(settings, cancellation, [drained] { drained.BlockingCall(); });

  auto out = Napi::Object::New(env);
  out.Set("add", Napi::Function::New(env, [packer](const Napi::CallbackInfo& call) -> Napi::Value {
            return Napi::Boolean::New(call.Env(), packer->add(readItems(call[0].As<Napi::Object>())));
          }));
  out.Set("end", Napi::Function::New(env, [packer](const Napi::CallbackInfo&) { packer->end(); }));
  out.Set("done", runJob(env, cancellation, [packer, drained]() mutable -> Delivery {
            // Released when the packing is over, however it ends: an unreleased one would keep the process alive.
            struct Release {
              Napi::ThreadSafeFunction& function;
              ~Release() { function.Release(); }
            } release{drained};
            const auto outcome = std::make_shared<PackOutcome>(packer->run());
            return [outcome](Napi::Env deliveryEnv) { return outcomeToJs(deliveryEnv, *outcome); };
          }));
  return out;
}

}  // namespace

void definePacker(Napi::Env env, Napi::Object exports) {
  exports.Set("createPacker", Napi::Function::New(env, createPacker, "createPacker"));
}

}  // namespace tsbuild

#include <fcntl.h>
#include <napi.h>

#include "blob-writer.h"
#include "codec.h"
#include "families.h"
#include "job.h"
#include "path-bytes.h"

namespace tsbuild {

namespace {

struct RecompressSettings {
  std::string blob;
  std::string output;
  std::string compression;
  int level;
  uint64_t uncompressedSizeMax;
};

struct RecompressOutcome {
  BlobResult blob;
  std::string engine;
};

// Decompresses `blob`, told by its magic bytes, into `writer`.
void readInto(BlobWriter& writer, const RecompressSettings& settings, const Cancellation& cancellation) {
  const Descriptor file(open(settings.blob.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) failErrno("open", settings.blob);
  posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  uint64_t total = 0;
  const ByteSink append = [&](const uint8_t* data, size_t size) {
    total += size;
    if (total > settings.uncompressedSizeMax) {
      failCode("bad-archive", "",
               "it is larger than the limit of " + std::to_string(settings.uncompressedSizeMax) + " bytes");
    }
    writer.append(data, size);
  };
  Bytes buffer(256 * 1024);
  std::unique_ptr<Decoder> decoder;
  for (bool isFirst = true;; isFirst = false) {
    cancellation.check();
    ssize_t size;
    do {
      size = read(file.get(), buffer.data.get(), buffer.capacity);
    } while (size < 0 && errno == EINTR);
    if (size < 0) failErrno("read", settings.blob);
    if (isFirst) decoder = newDecoder("auto", buffer.data.get(), static_cast<size_t>(size));
    if (size == 0) break;
    if (decoder) {
      decoder->write(buffer.data.get(), static_cast<size_t>(size), append);
    } else {
      append(buffer.data.get(), static_cast<size_t>(size));
    }
  }
  if (decoder) decoder->finish();
  writer.end();
}

RecompressOutcome run(const RecompressSettings& settings, const CancellationPtr& cancellation) {
  RecompressOutcome outcome;
  auto encoding = newEncoding(settings.compression, settings.level);
  outcome.engine = encoding ? encoding->engine() : "none";
  // Declared before the group, whose destructor waits for threads that use it.
  BlobWriter writer(settings.output, std::move(encoding), "");
  const auto stop = [&] { writer.stop(); };
  ThreadGroup group(stop);
  Cancellation::Subscription cancelled(*cancellation, stop);
  writer.start(group);
  group.start([&] { readInto(writer, settings, *cancellation); });
  group.join();
  cancellation->check();
  outcome.blob = writer.finish();
  return outcome;
}

Napi::Value outcomeToJs(Napi::Env env, const RecompressOutcome& outcome) {
  auto out = Napi::Object::New(env);
  out.Set("diffId", outcome.blob.diffId);
  out.Set("uncompressedSizeBytes", static_cast<double>(outcome.blob.uncompressedSize));
  out.Set("digest", outcome.blob.digest);
  out.Set("sizeBytes", static_cast<double>(outcome.blob.size));
  out.Set("takenOverBytes", static_cast<double>(outcome.blob.takenOverSize));
  out.Set("engine", outcome.engine);
  return out;
}

// recompress(blob, output, compression, level | -1, uncompressedSizeMax, cancellation)
Napi::Value recompress(const Napi::CallbackInfo& info) {
  RecompressSettings settings;
  settings.blob = pathFromJs(info[0]);
  settings.output = pathFromJs(info[1]);
  settings.compression = pathFromJs(info[2]);
  settings.level = info[3].As<Napi::Number>();
  settings.uncompressedSizeMax = static_cast<uint64_t>(info[4].As<Napi::Number>().Int64Value());
  const auto cancellation = cancellationFromJs(info[5]);
  return runJob(info.Env(), cancellation, [settings, cancellation]() -> Delivery {
    const auto outcome = std::make_shared<RecompressOutcome>(run(settings, cancellation));
    return [outcome](Napi::Env env) { return outcomeToJs(env, *outcome); };
  });
}

}  // namespace

void defineRecompress(Napi::Env env, Napi::Object exports) {
  exports.Set("recompress", Napi::Function::New(env, recompress, "recompress"));
}

}  // namespace tsbuild

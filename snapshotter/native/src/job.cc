#include "job.h"

#include <malloc.h>

#include <chrono>
#include <cstring>
#include <exception>
#include <list>
#include <new>
#include <thread>

#include "path-bytes.h"
#include "threads.h"

namespace tsbuild {

namespace {

// The jobs of one environment. Only its main thread touches it.
class Jobs {
 public:
  static Jobs& of(Napi::Env env) {
    auto* jobs = env.GetInstanceData<Jobs>();
    if (jobs == nullptr) {
      jobs = new Jobs();
      env.SetInstanceData<Jobs>(jobs);
      env.AddCleanupHook([jobs] { jobs->endAll(); });
    }
    return *jobs;
  }

  struct Job {
    std::thread thread;
    CancellationPtr cancellation;
  };
  std::list<Job> running;

 private:
  void endAll() {
    for (auto& job : running) job.cancellation->request();
    for (auto& job : running) job.thread.join();
    running.clear();
  }
};

struct Outcome {
  Delivery delivery;
  Failure failure;
};

#ifdef __GLIBC__
// A job that took this long has used many buffers on several threads. glibc keeps what they free for the threads that
// had it, and those are gone; giving it back takes a few milliseconds.
constexpr auto trimAfter = std::chrono::milliseconds(100);
#endif

Outcome runWork(const std::function<Delivery()>& work) {
  Outcome outcome;
  try {
    outcome.delivery = work();
  } catch (const Failure& failure) {
    outcome.failure = failure;
  } catch (const Stopped&) {
    outcome.failure.code = "aborted";
    outcome.failure.reason = "it was cancelled";
  } catch (const std::bad_alloc&) {
    outcome.failure.error = ENOMEM;
  } catch (const std::exception& error) {
    outcome.failure.code = "internal";
    outcome.failure.reason = error.what();
  }
  return outcome;
}

class CancellationWrap : public Napi::ObjectWrap<CancellationWrap> {
 public:
  explicit CancellationWrap(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<CancellationWrap>(info), value(std::make_shared<Cancellation>()) {}

  void cancel(const Napi::CallbackInfo&) { value->request(); }

  const CancellationPtr value;
};

}  // namespace

Napi::Error failureToJs(Napi::Env env, const Failure& failure) {
  const std::string reason =
      !failure.reason.empty() || failure.error == 0 ? failure.reason : std::strerror(failure.error);
  auto error = Napi::Error::New(env, reason);
  auto object = error.Value();
  object.Set("syscall", failure.syscall);
  object.Set("errno", failure.error);
  object.Set("code", failure.code);
  object.Set("path", pathToJs(env, failure.path));
  return error;
}

Napi::Value callNow(const Napi::CallbackInfo& info, const std::function<Napi::Value()>& work) {
  try {
    return work();
  } catch (const Failure& failure) {
    throw failureToJs(info.Env(), failure);
  }
}

Napi::Promise runJob(Napi::Env env, CancellationPtr cancellation, std::function<Delivery()> work) {
  auto deferred = std::make_shared<Napi::Promise::Deferred>(Napi::Promise::Deferred::New(env));
  auto& jobs = Jobs::of(env);
  const auto job = jobs.running.insert(jobs.running.end(), Jobs::Job{{}, cancellation});
  auto settle = Napi::ThreadSafeFunction::New(
      env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}), "tsbuild", 0, 1);
  job->thread = std::thread([settle, deferred, job, &jobs, work = std::move(work)]() mutable {
    [[maybe_unused]] const auto started = std::chrono::steady_clock::now();
    auto outcome = std::make_shared<Outcome>(runWork(work));
    // Frees what the work held on this thread, before the promise settles.
    work = nullptr;
#ifdef __GLIBC__
    if (std::chrono::steady_clock::now() - started > trimAfter) malloc_trim(0);
#endif
    settle.BlockingCall([deferred, job, &jobs, outcome](Napi::Env callEnv, Napi::Function) {
      job->thread.join();
      jobs.running.erase(job);
      try {
        if (outcome->delivery) {
          deferred->Resolve(outcome->delivery(callEnv));
        } else {
          deferred->Reject(failureToJs(callEnv, outcome->failure).Value());
        }
      } catch (const Napi::Error& error) {
        deferred->Reject(error.Value());
      }
    });
    settle.Release();
  });
  return deferred->Promise();
}

void defineCancellation(Napi::Env env, Napi::Object exports) {
  exports.Set("Cancellation",
              CancellationWrap::DefineClass(
                  env, "Cancellation",
                  {CancellationWrap::InstanceMethod<&CancellationWrap::cancel>("cancel")}));
}

CancellationPtr cancellationFromJs(const Napi::Value& value) {
  return CancellationWrap::Unwrap(value.As<Napi::Object>())->value;
}

}  // namespace tsbuild

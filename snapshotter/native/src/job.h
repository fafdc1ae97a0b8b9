#pragma once

#include <napi.h>

#include <functional>

#include "cancellation.h"
#include "failure.h"

namespace tsbuild {

// Makes the JavaScript value of a result, on the main thread.
using Delivery = std::function<Napi::Value(Napi::Env)>;

// Runs `work` on a thread of its own and settles a promise with what its delivery makes, or with its Failure.
// When the environment ends, running jobs are cancelled and waited for, so nothing half-written stays behind.
Napi::Promise runJob(Napi::Env env, CancellationPtr cancellation, std::function<Delivery()> work);

// The JavaScript error of a failure: kernel.ts makes a KernelError of its fields.
Napi::Error failureToJs(Napi::Env env, const Failure& failure);

// Runs `work` on the calling thread; a Failure becomes a JavaScript exception.
Napi::Value callNow(const Napi::CallbackInfo& info, const std::function<Napi::Value()>& work);

// The JavaScript class `Cancellation`, and what it wraps.
void defineCancellation(Napi::Env env, Napi::Object exports);
CancellationPtr cancellationFromJs(const Napi::Value& value);

}  // namespace tsbuild

// CoroutineLibrary<Promise>: what a coroutine library does for the awaitables
// of its coroutines, so that greenback does it below a portal, too.
//
// A library often hands its awaitables something through the promise of the
// coroutine that awaits them: an executor to resume on, a stop token. Below a
// portal an awaitable is awaited by a plain function. Tell greenback once what
// the library has, and the awaitable receives it there as well:
//
//   template <std::derived_from<mylib::PromiseBase> Promise>
//   struct greenback::CoroutineLibrary<Promise> {
//     // What an awaitable of the library asks for.
//     static mylib::Executor* Context(Promise& promise) {
//       return promise.executor;
//     }
//     // The way home: frames that an awaitable of another library has resumed
//     // elsewhere continue where the coroutine runs.
//     static void Resume(Promise& promise, std::coroutine_handle<> frames) {
//       promise.executor->Schedule(frames);
//     }
//     // Cancellation: returns an object that calls stop() when the coroutine
//     // is cancelled, for as long as the object exists.
//     template <class Stop>
//     static auto OnCancel(Promise& promise, Stop stop) {
//       return mylib::CancelCallback(promise.cancel_token, std::move(stop));
//     }
//     // Ownership: who holds the handle of a waiting coroutine owns it. When
//     // the handle of what waits below a portal was destroyed, and the frames
//     // are unwound, the coroutine is destroyed, too.
//     static void Destroy(std::coroutine_handle<Promise> coroutine) {
//       coroutine.destroy();
//     }
//   };
//
// Each of the four is optional. Nothing needs to be told of a library without
// such things, nor of a promise with a member `get_stop_token()`, or
// `get_env().get_stop_token()`: its stop token is used. What there is reaches
// awaitables in these ways:
//
// - An awaitable whose await_suspend() takes a handle of any promise type finds
//   `handle.promise().get_stop_token()`, a std::stop_token of the waiting task.
// - An AwaitableAdapter<T> for the library's awaitables (awaitable.h) calls
//   OuterContext<mylib::Executor>() for the object that Context() returns.
// - An awaiter with await_set_executor(Executor*), or whose await_suspend()
//   takes (handle, const Env*), receives the Executor or the Env that the
//   library has handed to the WithPortalRun[Sync]() around the portal.
// - Greenback's own awaitables are cancelled.
//
// Suspends: nothing here does.
// Cancellation: OnCancel() is called at the first checkpoint, or when something
// first waits that can be cancelled. Its object is destroyed when the call
// ends, which may be inside stop(). stop() may be called on any thread.
// Resumed by: without Resume(), the completer of an awaitable continues the
// frames at once, on its thread. With Resume(), greenback passes it a handle,
// on any thread. The library resumes that once, or destroys it, and the frames
// are unwound.
// Ownership: the promise belongs to the library, and lives until the call ends.
// Without Destroy(), a coroutine whose call was unwound stays suspended.
// Errors: if Resume() or Destroy() throws, the program ends.
#ifndef GREENBACK_COROUTINE_LIBRARY_H_
#define GREENBACK_COROUTINE_LIBRARY_H_

#include "greenback/internal/coroutine_library_impl.h"

namespace greenback {

// Specialise for the promise types of a library, as described above.
template <class Promise>
struct CoroutineLibrary {};

// The context of type T of the coroutine whose WithPortalRun[Sync]() is around
// the running code: what CoroutineLibrary<Promise>::Context() returns a T* or a
// T& for, or what the library has handed to the awaiter of that call. Null if
// there is no such coroutine, or it has no T.
template <class T>
T* OuterContext() noexcept {
  return static_cast<T*>(internal::FindContext(
      internal::ThisThread().current_task, internal::TypeIdOf<T>()));
}

}  // namespace greenback

#endif  // GREENBACK_COROUTINE_LIBRARY_H_

// AsyncGenerator<Yield>: a coroutine that yields one value after another, and
// may wait between them.
//
//   greenback::AsyncGenerator<Row> Rows(Database& db, std::string query) {
//     Cursor cursor = co_await db.Open(std::move(query));
//     while (co_await cursor.Advance()) co_yield cursor.row();
//   }
//
//   greenback::Co<int> Count(Database& db) {
//     int count = 0;
//     greenback::AsyncGenerator<Row> rows = Rows(db, "SELECT * FROM t");
//     while (std::optional<Row> row = co_await rows.Next()) ++count;
//     co_return count;
//   }
//
// Use it where values arrive one at a time and each may have to be awaited. In
// synchronous code, iterate over it with AsyncIter (async_iter.h). For values
// that are all there at once, use a container; to pass values between tasks, a
// queue: a generator runs only while a caller awaits its next value.
//
// Lazy: nothing runs before the first Next(). Move-only. One step at a time: to
// begin a step while another one is under way (begun by another task, or by the
// body itself) is an AwaitableError, and so is awaiting the result of one call
// of Next() or Send() twice. Moving or destroying the generator while a task
// waits in a step prints a message and aborts the program.
//
// Yield is an object type, which may be move-only, or an lvalue reference.
// Next() returns a std::optional<Yield>, constructed directly from the yielded
// object: moved if that was an rvalue, copied if not. For a reference it
// returns a pointer, null at the end, which is valid until the next step.
//
// Two-way: in an AsyncGenerator<Yield, Sent>, `co_yield value` returns a
// std::optional<Sent>: the argument of Send(), or nothing after Next().
//
//   greenback::AsyncGenerator<double, double> Average() {
//     double sum = 0, average = 0;
//     std::optional<double> next = co_yield average;
//     for (int n = 1; next; ++n) {
//       sum += *next;
//       next = co_yield average = sum / n;
//     }
//   }
//
// The end: when the body ends, by itself or by an exception (which propagates
// from the step), everything in the frame is destroyed. From then on, and after
// the generator has been moved from, each step returns the end at once: no
// value, and no error.
//
// Cleanup: destroying a generator that is suspended at a co_yield destroys its
// frame: destructors run (and may Await() if the running task has a portal),
// and no other code. Destroying a coroutine that waits in a step destroys the
// frame too, and the generator is at its end. Close() lets the body finish by
// itself: it throws GeneratorExit at the co_yield. Without exceptions, Close()
// does what destruction does.
//
//   bool closed = false;
//   try {
//     co_yield value;
//   } catch (const greenback::GeneratorExit&) {
//     closed = true;      // a handler cannot co_await; the code after it can
//   }
//   if (closed) co_await cursor.Close();
//
// Suspends: a step suspends when the body's own awaits do. It adds neither a
// checkpoint nor a trip through the loop.
// Cancellation: reaches the operation that the body awaits.
// Resumed by: the completer of that operation; in a task, on the task's own
// thread. The body runs in the task that takes the step; other tasks may take
// other steps.
// Ownership: the generator owns the frame. Arguments are kept as the body's
// parameters say: a reference parameter must outlive the generator.
// Errors: an exception of the body propagates from the step. Without
// exceptions, yield an absl::StatusOr.
#ifndef GREENBACK_UTIL_ASYNC_GENERATOR_H_
#define GREENBACK_UTIL_ASYNC_GENERATOR_H_

#include <coroutine>
#include <exception>
#include <type_traits>
#include <utility>

#include "util/internal/generator_frame.h"
#include "util/internal/generator_promise.h"
#include "util/internal/generator_step.h"

namespace greenback {

// Thrown at the co_yield of a generator that is being closed. It is not derived
// from std::exception, so that handlers of errors let it pass. Let it
// propagate, or return soon: a further co_yield is a std::logic_error, which
// propagates from Close().
struct GeneratorExit {};

template <class Yield, class Sent = void>
class [[nodiscard]] AsyncGenerator {
  static_assert(std::is_object_v<Yield> || std::is_lvalue_reference_v<Yield>,
                "greenback::AsyncGenerator<Yield, Sent>: Yield is an object "
                "type or an lvalue reference");
  static_assert(std::is_void_v<Sent> || std::is_object_v<Sent>,
                "greenback::AsyncGenerator<Yield, Sent>: Sent is void or an "
                "object type; use a pointer for a reference");

 public:
  using promise_type = internal::GeneratorPromise<Yield, Sent>;
  // What a step returns: a std::optional<Yield>, or a pointer if Yield is a
  // reference. Without a value, or null, at the end.
  using Result = internal::GeneratorResult<Yield>;
  using NextAwaiter = internal::GeneratorNext<Yield, Sent>;
  using SendAwaiter = internal::GeneratorSend<Yield, Sent>;
  using CloseAwaiter = internal::GeneratorClose<Yield, Sent>;

  AsyncGenerator(AsyncGenerator&& other) noexcept = default;
  AsyncGenerator& operator=(AsyncGenerator&& other) noexcept = default;

  // Whether the generator is at its end: each step would return that at once.
  bool done() const { return frame_.done(); }
  // Whether Close() has something to run: the body is suspended at a co_yield,
  // and there are exceptions. If it has not, destruction does the same.
  bool NeedsClose() const { return frame_.NeedsClose(); }

  // co_await -> Result: resumes the body until the next co_yield.
  NextAwaiter Next() { return NextAwaiter(frame_); }

  // co_await -> Result: the same, and the co_yield at which the body is
  // suspended returns `value`. Before the first Next() there is none: an
  // AwaitableError.
  template <class T = Sent>
    requires(!std::is_void_v<Sent> && std::is_convertible_v<T &&, Sent>)  //
  SendAwaiter Send(T&& value) {
    return SendAwaiter(frame_, std::forward<T>(value));
  }

#if defined(__cpp_exceptions)
  using ThrowAwaiter = internal::GeneratorThrow<Yield, Sent>;
  // co_await -> Result: throws `error` at the co_yield at which the body is
  // suspended. If the body does not catch it, it propagates from this step; if
  // it does, the body continues to its next value or to its end. Before the
  // first Next() nothing can catch it: the generator is at its end, and `error`
  // propagates. Needs exceptions.
  ThrowAwaiter Throw(std::exception_ptr error) {
    return ThrowAwaiter(frame_, std::move(error));
  }
  template <class Error>
    requires(!std::is_convertible_v<Error &&, std::exception_ptr>)  //
  ThrowAwaiter Throw(Error&& error) {
    return Throw(std::make_exception_ptr(std::forward<Error>(error)));
  }
#endif

  // co_await -> nothing: lets the body clean up, and brings the generator to
  // its end; see above. An exception other than GeneratorExit propagates.
  // Before the first Next(), nothing runs.
  CloseAwaiter Close() { return CloseAwaiter(frame_); }

 private:
  friend promise_type;

  explicit AsyncGenerator(std::coroutine_handle<promise_type> handle)
      : frame_(handle) {}

  internal::GeneratorFrame<Yield, Sent> frame_;
};

namespace internal {

template <class Yield, class Sent>
AsyncGenerator<Yield, Sent>
GeneratorPromise<Yield, Sent>::get_return_object() noexcept {
  return AsyncGenerator<Yield, Sent>(
      std::coroutine_handle<GeneratorPromise>::from_promise(*this));
}

template <class Yield, class Sent>
void GeneratorPromise<Yield, Sent>::unhandled_exception() noexcept {
  error_ = std::current_exception();
#if defined(__cpp_exceptions)
  if (!closing_) return;
  try {
    throw;
  } catch (const GeneratorExit&) {
    error_ = nullptr;
  } catch (...) {
  }
#endif
}

template <class Yield, class Sent>
typename GeneratorInbox<Sent>::Taken
GeneratorPromise<Yield, Sent>::AfterYield() {
#if defined(__cpp_exceptions)
  if (closing_) throw GeneratorExit();
  if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
#endif
  return inbox_.Take();
}

}  // namespace internal
}  // namespace greenback

#endif  // GREENBACK_UTIL_ASYNC_GENERATOR_H_

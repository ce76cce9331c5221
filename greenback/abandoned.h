// Abandoned: what Await() throws when there is no host left that could wake the
// task.
//
// Structured tasks end before their host does. But a host that is not
// greenback's can be destroyed first: an io_context, while a coroutine of its
// waits in synchronous code, or a coroutine of another library, while its
// WithPortalRunSync() does. Then the waiting frames run once more, to be
// unwound: Await() throws Abandoned, every destructor on the way runs, and what
// destroys the host waits for them.
//
// It is no std::exception, so that code which handles errors does not take it
// for one. Do not catch it; in a `catch (...)`, rethrow. Where it is swallowed
// all the same, the next Await() throws it again, and what the frames return in
// the end is dropped. A destructor that awaits while the frames are unwound
// cannot throw a second exception: an Await() there that gives nothing, or what
// can carry a status, returns at once (kCancelled).
//
// C frames must not be unwound: what they do after the call, such as unlocking
// a mutex, would be left out. So a callback that a C library calls awaits with
// TryAwait(), which never throws Abandoned, and returns kCancelled in its
// place, at once from then on. The callback returns an error to the library in
// the library's own way, and the frames end by returning:
//
//   // A function that SQLite calls.
//   void Fetch(sqlite3_context* context, int, sqlite3_value** arguments) {
//     absl::StatusOr<int> row = greenback::TryAwait(Ask(arguments[0]));
//     if (!row.ok()) {
//       std::string message(row.status().message());
//       return sqlite3_result_error(context, message.c_str(), -1);
//     }
//     sqlite3_result_int(context, *row);
//   }
//
// That holds for misuse and exhaustion, too. What the awaitable itself may
// throw has to be caught in the callback. A library that goes on after an error
// of its callback has to be stopped in its own way (sqlite3_interrupt()). The
// C++ frames around the C library go on, after it has returned, until their
// next Await() throws.
//
// When a frame on the way is noexcept, the process dies, with a message that
// names the task. Without exceptions Await() gives kCancelled where the result
// can carry a status, and dies with that message elsewhere.
#ifndef GREENBACK_ABANDONED_H_
#define GREENBACK_ABANDONED_H_

namespace greenback {

class Abandoned final {};

}  // namespace greenback

#endif  // GREENBACK_ABANDONED_H_

// Abandoned: what Await() throws when nobody is left to wait for.
//
// Structured tasks end before their host does. But a host that is not
// greenback's can go first: an io_context is destroyed while a coroutine of its
// waits in synchronous code, or a coroutine of another library is destroyed
// while its WithPortalRunSync() does. Then the waiting frames go on once more,
// to be unwound: Await() throws Abandoned, every destructor on the way runs,
// and who destroys waits for them.
//
// It is no std::exception, so that code which handles errors does not take it
// for one. Do not catch it; in a `catch (...)`, rethrow. Where it is swallowed
// all the same, the next Await() throws it again, and what the frames return in
// the end is dropped. A destructor that awaits while the frames are unwound
// cannot throw a second exception: an Await() there that gives nothing, or what
// can carry a status, returns at once (kCancelled).
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

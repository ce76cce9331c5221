// PortalError: Await() was called where it may not suspend. AwaitableError: the
// awaitable cannot be awaited any more.
//
// These are mistakes of the program, not failures of the awaitable: fix the
// call instead of catching them. Code that can do without waiting should check
// HasPortal() first, or use TryAwait(), which returns the text of both as a
// FailedPrecondition status. Builds without exceptions print what() and abort.
#ifndef GREENBACK_PORTAL_ERROR_H_
#define GREENBACK_PORTAL_ERROR_H_

#include <stdexcept>
#include <string>

namespace greenback {

class PortalError : public std::logic_error {
 public:
  enum class Reason {
    kNoTask,        // called outside any task
    kNoPortal,      // the task has opened none
    kBestowedNow,   // bestowed on itself, and no checkpoint since
    kNoAwaitScope,  // inside a NoAwaitScope
    kWrongHost,     // the awaitable is for the tasks of another host
  };

  PortalError(Reason reason, const std::string& what)
      : std::logic_error(what), reason_(reason) {}

  Reason reason() const { return reason_; }

 private:
  Reason reason_;
};

// An awaitable that can be awaited once was awaited again, or while it was
// being awaited, or after it was moved from; or a value was sent to a generator
// too soon.
class AwaitableError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

}  // namespace greenback

#endif  // GREENBACK_PORTAL_ERROR_H_

// PostAwaiter: awaits post(deferred), which is a checkpoint. Internal to
// operation.h.
//
// In a task of Asio's it needs no handler, no cancellation slot and no
// type-erased executor. Inside an Await(), it is posted when that has parked,
// so that it continues there, on the stack of the Await().
#ifndef GREENBACK_ASIO_INTERNAL_POST_AWAITER_H_
#define GREENBACK_ASIO_INTERNAL_POST_AWAITER_H_

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/system_executor.hpp>
#include <concepts>
#include <coroutine>
#include <exception>

#include "greenback/asio/internal/operation_awaiter.h"
#include "greenback/host/callee_promise.h"
#include "greenback/host/home_awaiter.h"
#include "greenback/host/portal_task.h"
#include "greenback/host/step_task.h"
#include "greenback/host/transfer.h"
#include "greenback/internal/in_place.h"

namespace greenback::asio::internal {

using ::greenback::internal::CalleePromise;
using ::greenback::internal::ForeignAwaiter;
using ::greenback::internal::InPlace;
using ::greenback::internal::ResumeAddress;
using ::greenback::internal::ResumesAtHome;

using DeferredPost = decltype(boost::asio::post(boost::asio::deferred));

// What it does where the running task is not one of Asio's. Asio's own post()
// without an executor does the same in Boost 1.81 to 1.89; since then it does
// not compile for a handler that may have no executor.
struct InitiatePost {
  template <class Handler>
  void operator()(Handler handler) const {
    auto executor = boost::asio::get_associated_executor(
        handler, boost::asio::system_executor());
    boost::asio::require(executor, boost::asio::execution::blocking.never)
        .execute(std::move(handler));
  }
};
using PostToHandler =
    decltype(boost::asio::async_initiate<const boost::asio::deferred_t, void()>(
        InitiatePost(), boost::asio::deferred));

class PostAwaiter : private ResumesAtHome {
 public:
  explicit PostAwaiter(const DeferredPost&) {}
  PostAwaiter(const PostAwaiter&) = delete;
  PostAwaiter& operator=(const PostAwaiter&) = delete;
  __attribute__((noinline)) ~PostAwaiter() = default;

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(
      std::coroutine_handle<Promise> coroutine) {
    if constexpr (std::derived_from<Promise, CalleePromise>) {
      FiberWaiter* const root = coroutine.promise().root();
      if (root != nullptr && PostWhenParked(*root)) {
        root->nested = {ResumeAddress, coroutine.address()};
        return std::noop_coroutine();
      }
    }
    waiter_.handle = coroutine;
    return Post() ? std::noop_coroutine() : SuspendElsewhere(coroutine);
  }
  bool await_park(FiberWaiter& waiter) {
    return PostWhenParked(waiter) || ParkElsewhere(waiter);
  }
  void await_resume() {
    if (has_more_) [[unlikely]]
      ResumeWithMore();
  }

 private:
  using Operation = OperationAwaiter<PostToHandler>;

  static Operation MakeOperation();

  // False: the running task is not one of Asio's.
  bool Post();
  // False: the task is not one of Asio's, or this is not the stack of `waiter`.
  bool PostWhenParked(FiberWaiter& waiter);
  // Awaits a PostToHandler like any other operation. Not inlined, and neither
  // is the destructor: every function that calls Await() would contain all of
  // it.
  std::coroutine_handle<> SuspendElsewhere(std::coroutine_handle<> coroutine);
  bool ParkElsewhere(FiberWaiter& waiter);
  void ResumeWithMore();

  Waiter waiter_{Waiter::Kind::kCoroutine};
  // Whether any of the members that follow is set.
  bool has_more_ = false;
  std::exception_ptr error_;
  InPlace<Operation> operation_;
  InPlace<ForeignAwaiter<Operation&>> elsewhere_;
};

}  // namespace greenback::asio::internal

#endif  // GREENBACK_ASIO_INTERNAL_POST_AWAITER_H_

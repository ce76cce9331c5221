// What Boost.Cobalt does for the awaitables of its coroutines: to copy into a
// program that has portals there.
#ifndef GREENBACK_TESTS_COBALT_COBALT_LIBRARY_H_
#define GREENBACK_TESTS_COBALT_COBALT_LIBRARY_H_

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <boost/cobalt/config.hpp>
#include <boost/cobalt/unique_handle.hpp>
#include <concepts>
#include <coroutine>
#include <utility>

#include "greenback/coroutine_library.h"

// A promise of Cobalt's.
template <class Promise>
concept CobaltPromise = requires(Promise& promise) {
  { promise.get_executor() } -> std::convertible_to<boost::cobalt::executor>;
  {
    promise.get_cancellation_slot()
  } -> std::same_as<boost::asio::cancellation_slot>;
};

template <CobaltPromise Promise>
struct greenback::CoroutineLibrary<Promise> {
  // Posted, not dispatched: Cobalt expects that nothing continues inside a
  // cancellation.
  static void Resume(Promise& promise, std::coroutine_handle<> frames) {
    boost::asio::post(
        promise.get_executor(),
        // An executor that drops it destroys the handle.
        [own = boost::cobalt::unique_handle<void>(frames.address())]() mutable {
          std::move(own).resume();
        });
  }
  template <class Stop>
  static auto OnCancel(Promise& promise, Stop stop) {
    struct Connection {
      boost::asio::cancellation_slot slot;
      ~Connection() {
        if (slot.is_connected()) slot.clear();
      }
    };
    boost::asio::cancellation_slot slot = promise.get_cancellation_slot();
    if (slot.is_connected()) {
      slot.assign([stop](boost::asio::cancellation_type) { stop(); });
    }
    return Connection{slot};
  }
  // A handler owns the coroutine that it resumes.
  static void Destroy(std::coroutine_handle<Promise> coroutine) {
    coroutine.destroy();
  }
};

#endif  // GREENBACK_TESTS_COBALT_COBALT_LIBRARY_H_

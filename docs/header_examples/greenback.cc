// Where the examples of greenback/ stand.
#include "greenback/greenback.h"

#include <functional>
#include <memory>
#include <mutex>
#include <streambuf>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct Page {};

namespace await {
greenback::Co<absl::StatusOr<Page>> FetchPage(int number);
class Reader : public std::streambuf {
  int underflow() override;
  int next_ = 0;
};
// EXAMPLE greenback/await.h 1
}  // namespace await

namespace other {
template <class T>
struct Future {};
Future<int> Ask();
}  // namespace other
template <class T>
struct FutureAwaiter {
  other::Future<T> future;
  bool await_ready();
  void await_suspend(std::coroutine_handle<> waiter);
  T await_resume();
};
// EXAMPLE greenback/awaitable.h 1
namespace awaitable {
void Example() {
  // EXAMPLE greenback/awaitable.h 2
}
}  // namespace awaitable

namespace from_callback {
int fetch(int id, std::function<void(int error, Page page)> done);
void cancel_fetch(int ticket);
// EXAMPLE greenback/from_callback.h 1
greenback::Co<void> InACoroutine() {
  // EXAMPLE greenback/from_callback.h 2
}
void InAFunction() {
  // EXAMPLE greenback/from_callback.h 3
}
}  // namespace from_callback

namespace no_await_scope {
class Cache {
  struct Table {
    void Rehash(const std::function<void()>& callback);
  };
  void Example(const std::function<void()>& callback) {
    // EXAMPLE greenback/no_await_scope.h 1
  }
  std::mutex mutex_;
  Table table_;
};
}  // namespace no_await_scope

namespace portal {
using greenback::Co;
using greenback::WithPortalRunSync;
struct Database {
  absl::Status Import();
};
struct Table {
} table;
int CountRows(Table table);
// EXAMPLE greenback/portal.h 1
// EXAMPLE greenback/portal.h 2
}  // namespace portal

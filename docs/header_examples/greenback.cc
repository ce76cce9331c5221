// Where the examples of greenback/ stand.
#include "greenback/greenback.h"

#include <concepts>
#include <coroutine>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <source_location>
#include <streambuf>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct Page {};

struct sqlite3_context;
struct sqlite3_value;
void sqlite3_result_error(sqlite3_context* context, const char* text, int size);
void sqlite3_result_int(sqlite3_context* context, int value);
namespace abandoned {
greenback::Co<int> Ask(sqlite3_value* argument);
// EXAMPLE greenback/abandoned.h 1
}  // namespace abandoned

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

namespace mylib {
struct Executor {
  void Schedule(std::coroutine_handle<> frames);
};
struct CancelToken {};
struct PromiseBase {
  Executor* executor;
  CancelToken cancel_token;
};
template <class Stop>
struct CancelCallback {
  CancelCallback(CancelToken token, Stop stop);
};
}  // namespace mylib
// EXAMPLE greenback/coroutine_library.h 1
struct Promise : mylib::PromiseBase {};
template struct greenback::CoroutineLibrary<Promise>;

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

namespace no_await_lock {
class Cache {
  struct Page {
    int id() const;
  };
  void Put(Page page);
  std::mutex mutex_;
  std::map<int, Page> pages_;
  std::function<void()> on_change_;
};
// EXAMPLE greenback/no_await_lock.h 1
class Transfer {
  struct Account {
    std::mutex mutex;
  };
  void Example() {
    // EXAMPLE greenback/no_await_lock.h 2
  }
  Account from_;
  Account to_;
};
}  // namespace no_await_lock

namespace no_await_scope {
class Index {
  struct Table {
    void Rehash(const std::function<void()>& callback);
  };
  void Example(const std::function<void()>& callback) {
    // EXAMPLE greenback/no_await_scope.h 1
  }
  Table table_;
};
struct CheckedMutex {
  void lock(std::source_location where);
  std::mutex mutex_;
  std::optional<greenback::NoAwaitScope> no_await_;
};
// EXAMPLE greenback/no_await_scope.h 2
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

namespace portal_options {
void Import(const std::string& path);
greenback::Co<void> Example(std::string path) {
  // EXAMPLE greenback/portal_options.h 1
}
}  // namespace portal_options

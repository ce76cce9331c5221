// Where the examples of util/ stand.
#include <algorithm>
#include <iostream>
#include <map>
#include <optional>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

#include "greenback/runtime/co.h"
#include "util/greenback_util.h"

using greenback::Co;

struct Row {
  size_t size() const;
};
struct Rows {};
struct Page {};
struct Cursor {
  Co<bool> Advance();
  Co<void> Close();
  Row row();
};
struct Database {
  Co<Cursor> Open(std::string query);
};
struct Connection {
  Co<void> Reset();
  int Count(std::string table);
};
struct Pool {
  Co<Connection*> Take();
  Co<void> GiveBack(Connection* connection);
};

// EXAMPLE util/async_context.h 1

namespace async_generator {
// EXAMPLE util/async_generator.h 1
// EXAMPLE util/async_generator.h 2
greenback::AsyncGenerator<int> Example(Cursor cursor, int value) {
  // EXAMPLE util/async_generator.h 3
}
}  // namespace async_generator

namespace other {
struct Listing {};
}  // namespace other
struct ListingReader {
  explicit ListingReader(other::Listing& listing);
  Co<std::optional<int>> Next();
};
namespace async_iter {
greenback::AsyncGenerator<Row> Rows(Database& db, std::string query);
bool IsOpen(const Row& row);
// EXAMPLE util/async_iter.h 1
void Example(Database& db, std::string query) {
  // EXAMPLE util/async_iter.h 2
}
}  // namespace async_iter
// EXAMPLE util/async_iter.h 3

namespace auto_await {
struct Url {};
// EXAMPLE util/auto_await.h 1
}  // namespace auto_await

namespace context_manager {
// EXAMPLE util/context_manager.h 1
}  // namespace context_manager

namespace decorate_as_sync {
// EXAMPLE util/decorate_as_sync.h 1
Co<void> Example() {
  // EXAMPLE util/decorate_as_sync.h 2
}
}  // namespace decorate_as_sync

namespace exit_reason {
struct Transaction {
  Co<void> Commit();
  Co<void> RollBack();
  Co<void> Exit(greenback::ExitReason reason);
};
// EXAMPLE util/exit_reason.h 1
}  // namespace exit_reason

namespace lost_failure {
enum { ERROR };
std::ostream& LOG(int severity);
void Example() {
  // EXAMPLE util/lost_failure.h 1
}
}  // namespace lost_failure

namespace with_async_context {
// EXAMPLE util/with_async_context.h 1
}  // namespace with_async_context

// Where the examples of greenback/runtime stand.
#include "greenback/runtime/runtime.h"

#include <exception>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "greenback/await.h"
#include "greenback/runtime/testing/assert_checkpoints.h"
#include "greenback/runtime/testing/mock_clock.h"
#include "gtest/gtest.h"

using greenback::Co;

namespace cancel_scope {
struct Server {};
struct Reply {};
Co<absl::StatusOr<Reply>> Ask(const Server& server);
Co<void> Example(const Server& server) {
  // EXAMPLE greenback/runtime/cancel_scope.h 1
}
}  // namespace cancel_scope

namespace checkpoint {
struct Row {};
void Process(Row& row);
Co<absl::Status> Example(std::vector<Row> rows) {
  // EXAMPLE greenback/runtime/checkpoint.h 1
}
}  // namespace checkpoint

namespace co {
struct Url {};
Co<int> Fetch(const Url& url);
// EXAMPLE greenback/runtime/co.h 1
Co<void> InACoroutine(std::vector<Url> urls) {
  // EXAMPLE greenback/runtime/co.h 2
}
void InAFunction(std::vector<Url> urls) {
  // EXAMPLE greenback/runtime/co.h 3
}
}  // namespace co

namespace event {
Co<void> Example() {
  // EXAMPLE greenback/runtime/event.h 1
  // EXAMPLE greenback/runtime/event.h 2
}
}  // namespace event

namespace exception_group {
void Report(const std::exception_ptr& error);
Co<void> ServeAll(greenback::Nursery& nursery);
Co<void> Example() {
  // EXAMPLE greenback/runtime/exception_group.h 1
}
}  // namespace exception_group

namespace fail_scope {
struct Server {};
Co<absl::Status> Ask(const Server& server);
Co<absl::Status> Example(const Server& server) {
  // EXAMPLE greenback/runtime/fail_scope.h 1
}
}  // namespace fail_scope

namespace instrument {
absl::Time Now();
constexpr absl::Duration kLimit = absl::Milliseconds(50);
void Log(absl::string_view task, absl::string_view text);
// EXAMPLE greenback/runtime/instrument.h 1
void Example(SlowSteps& slow_steps, greenback::RunOptions& options) {
  // EXAMPLE greenback/runtime/instrument.h 2
}
}  // namespace instrument

namespace nursery {
struct Socket {};
Co<absl::Status> LogProgress();
namespace start_soon {
Co<absl::Status> Serve(Socket socket);
Co<void> Example(Socket socket) {
  // EXAMPLE greenback/runtime/nursery.h 1
}
}  // namespace start_soon
using greenback::TaskStatus;
struct Options {
} options;
int port;
// EXAMPLE greenback/runtime/nursery.h 2
Co<void> Example(greenback::Nursery& nursery) {
  // EXAMPLE greenback/runtime/nursery.h 3
}
}  // namespace nursery

namespace process {
Co<void> Example(const std::string& file, const std::string& build) {
  // EXAMPLE greenback/runtime/process.h 1
}
}  // namespace process

namespace reschedule {
struct Job {};
class Idle {
  // EXAMPLE greenback/runtime/reschedule.h 1
  std::list<greenback::Task*> idle_;
};
}  // namespace reschedule

namespace run {
// EXAMPLE greenback/runtime/run.h 1
int Example(int argc, char** argv) {
  // EXAMPLE greenback/runtime/run.h 2
}
}  // namespace run

namespace run_in_thread {
std::string ReadFile(const std::string& path);
Co<void> Example(const std::string& path) {
  // EXAMPLE greenback/runtime/run_in_thread.h 1
}
}  // namespace run_in_thread

namespace run_local {
struct ConnectionCache {
  void Find(const std::string& address);
};
// EXAMPLE greenback/runtime/run_local.h 1
void Example(const std::string& address) {
  // EXAMPLE greenback/runtime/run_local.h 2
}
}  // namespace run_local

namespace run_token {
void Example(greenback::Event& done) {
  // EXAMPLE greenback/runtime/run_token.h 1
  // EXAMPLE greenback/runtime/run_token.h 2
}
}  // namespace run_token

namespace sleeping {
Co<void> Example() {
  // EXAMPLE greenback/runtime/sleep.h 1
}
}  // namespace sleeping

namespace system_task {
Co<void> FlushLogs();
void Example() {
  // EXAMPLE greenback/runtime/system_task.h 1
}
}  // namespace system_task

namespace task {
void Example(const std::string& file) {
  // EXAMPLE greenback/runtime/task.h 1
}
}  // namespace task

namespace task_local {
void Log(const std::string& text);
Co<absl::Status> Handle();
// EXAMPLE greenback/task_local.h 1
void Example(greenback::Nursery& nursery) {
  // EXAMPLE greenback/task_local.h 2
  // EXAMPLE greenback/task_local.h 3
}
}  // namespace task_local

namespace assert_checkpoints {
struct Queue {
  Co<int> Take();
  void PutNow(int value);
};
Co<void> Example(Queue& queue) {
  // EXAMPLE greenback/runtime/testing/assert_checkpoints.h 1
}
}  // namespace assert_checkpoints

namespace mock_clock {
void Example() {
  // EXAMPLE greenback/runtime/testing/mock_clock.h 1
}
}  // namespace mock_clock

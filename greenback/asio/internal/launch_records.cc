#include "greenback/asio/internal/launch_records.h"

#include <boost/version.hpp>

#include "greenback/asio/internal/newest_boost.h"

// Without exceptions there are no coroutines of Asio's.
#if BOOST_VERSION >= 108900 && GREENBACK_ASIO_BOOST_IS_TESTED && \
    defined(__cpp_exceptions)

#include <boost/asio/awaitable.hpp>
#include <boost/asio/detail/call_stack.hpp>

#include "greenback/host/portal_access.h"
#include "greenback/host/step_task.h"

namespace greenback::asio::internal {
namespace {

using ::greenback::internal::StepTask;

using Launches = boost::asio::detail::call_stack<
    boost::asio::detail::awaitable_launch_context>;
using Record = Launches::context;

// The list's head and the records' links are private. An explicit instantiation
// may name them.
struct Head {
  friend constexpr auto Private(Head);
};
struct Link {
  friend constexpr auto Private(Link);
};
template <class Name, auto kMember>
struct Expose {
  friend constexpr auto Private(Name) { return kMember; }
};
template struct Expose<Head, &Launches::top_>;
template struct Expose<Link, &Record::next_>;

auto& Top() { return *Private(Head()); }
Record*& Next(Record& record) { return record.*Private(Link()); }

// Moves the records that are here, which follow each other, to the front of
// another list.
void MoveThoseHere(Record*& from, Record*& to) {
  Record** begin = &from;
  while (*begin != nullptr && !StepTask::IsOnThisStack(*begin))
    begin = &Next(**begin);
  Record** end = begin;
  while (*end != nullptr && StepTask::IsOnThisStack(*end)) end = &Next(**end);
  if (begin == end) return;
  Record* const first = *begin;
  Record* const rest = *end;
  *end = to;
  *begin = rest;
  to = first;
}

}  // namespace

void LaunchRecords::Watch(PortalTask& task) {
  Record* const top = Top();
  if (top == nullptr || is_watching_ || !StepTask::IsOnThisStack(top)) return;
  is_watching_ = true;
  greenback::internal::PortalAccess::AddParkHook(task, *this);
}

void LaunchRecords::Leaves() noexcept {
  Record* top = Top();
  Record* parked = static_cast<Record*>(parked_);
  MoveThoseHere(top, parked);
  Top() = top;
  parked_ = parked;
}

void LaunchRecords::Returns() noexcept {
  Record* top = Top();
  Record* parked = static_cast<Record*>(parked_);
  MoveThoseHere(parked, top);
  Top() = top;
  parked_ = parked;
}

}  // namespace greenback::asio::internal

#else

namespace greenback::asio::internal {

void LaunchRecords::Watch(PortalTask&) {}
void LaunchRecords::Leaves() noexcept {}
void LaunchRecords::Returns() noexcept {}

}  // namespace greenback::asio::internal

#endif

// PortalOptions: a name and a stack for a WithPortalRun[Sync]().
//
//   greenback::PortalOptions options;
//   options.name = "import";
//   options.stack_size = 8 << 20;
//   co_await greenback::WithPortalRunSync(options, Import, path);
//
// Use it where messages should tell one call from others (in a coroutine of
// another library every call is called "foreign coroutine"), and where the
// function needs more stack than the megabyte of a portal.
#ifndef GREENBACK_PORTAL_OPTIONS_H_
#define GREENBACK_PORTAL_OPTIONS_H_

#include <cstddef>
#include <string>

namespace greenback {

struct PortalOptions {
  // The name in messages, for a call in a coroutine of another library, which
  // is a task of its own. Empty: "foreign coroutine". In a task of a host that
  // names its tasks, the task keeps its name.
  std::string name;

  // Bytes, of address space: memory is committed when it is first touched. 0:
  // the call runs on the stack of its task. Otherwise it has a stack of that
  // size to itself, from a pool that the process keeps for this size, so use
  // few different sizes. The bounds are those of StackPoolOptions::stack_size
  // (context/stack_pool.h). If there is no such stack, the await of the call
  // throws StackExhausted; without exceptions it prints the text and aborts.
  size_t stack_size = 0;
};

}  // namespace greenback

#endif  // GREENBACK_PORTAL_OPTIONS_H_

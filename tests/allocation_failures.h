// FailEachAllocation(): what a program does when memory runs out, tried at each
// allocation that it makes.
//
//   TEST(AllocationFailureTest, Sleeping) {
//     FailEachAllocation([] { greenback::Run(SleepALittle); });
//   }
//
// The scenario is run once for every allocation in it, and each time another
// one fails: the first, the second, and so on until none is left to fail. This
// happens in child processes, so that a crash does not end the test, but is a
// failure with a text that says how to repeat it. It is done three times: with
// one failure, after the scenario has run once without; the same in a new
// process, where nothing has been allocated before (with AddressSanitizer,
// which makes processes slow, for one allocation in three); and with a failure
// of that allocation and of all that follow.
//
// Each time, the scenario must end with an error that says that memory has run
// out, or complete: Expect() what it has done. Without exceptions, where
// operator new cannot report it, the process may also end by std::terminate().
// A crash or a hang is always wrong. After the scenario, no object of Counted
// (test_awaitables.h) lives, the process has no child and as many descriptors
// as before, nothing is leaked, and the thread can Run().
//
// Replaces operator new, and has a main().
#ifndef GREENBACK_TESTS_ALLOCATION_FAILURES_H_
#define GREENBACK_TESTS_ALLOCATION_FAILURES_H_

#include <exception>

namespace greenback {

// `all_that_follow`: the third time, too. Not where Asio's own coroutines are
// destroyed, which allocates.
void FailEachAllocation(void (*scenario)(), bool all_that_follow = true);

// In a scenario that has not failed: it has done all that it was to do.
#define GREENBACK_EXPECT_DONE(condition) \
  ::greenback::ExpectDone((condition), #condition, __FILE__, __LINE__)
void ExpectDone(bool done, const char* condition, const char* file, int line);

// Whether the exception says that memory has run out: a std::bad_alloc, or an
// ExceptionGroup with one.
bool SaysNoMemory(const std::exception_ptr& error);

}  // namespace greenback

#endif  // GREENBACK_TESTS_ALLOCATION_FAILURES_H_

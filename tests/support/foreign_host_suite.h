// ForeignHostTest: what holds in the coroutines of every library that is no
// host of greenback's. Instantiate it with a Host, which has
//
//   Task                a coroutine type whose result is void
//   Start(body)         calls body(), a coroutine of that type, which runs
//                       until it first waits; returns a movable object that
//                       owns it
//   RunToEnd(running)   returns when it has ended
//   Soon()              an awaitable that completes in the library's own way,
//                       after its waiter has suspended
//   Cancel(running)     and Destroy(running), while it waits
//   kNoCancel, kNoDestroy, kNoHop
//                       null, or why it cannot be cancelled, destroyed while it
//                       waits, or resumed on another thread
//
//   INSTANTIATE_TYPED_TEST_SUITE_P(MyLibrary, ForeignHostTest, MyHost);
#ifndef GREENBACK_TESTS_SUPPORT_FOREIGN_HOST_SUITE_H_
#define GREENBACK_TESTS_SUPPORT_FOREIGN_HOST_SUITE_H_

#include "gtest/gtest.h"
#include "tests/support/foreign_host_calls.h"
#include "tests/support/foreign_host_completions.h"
#include "tests/support/foreign_host_fixture.h"

namespace greenback {

REGISTER_TYPED_TEST_SUITE_P(ForeignHostTest, ValuesAreReturned,
                            ThePortalEndsWithTheCall, ExceptionsPassBothWays,
                            AHundredFramesMayWait,
                            TenThousandAwaitsDoNotGrowTheStack,
                            ACoIsAwaitedBelow, LocalsAreTheCallsOwn,
                            R17_ACallInsideAnotherIsATaskOfItsOwn,
                            R19_DestroyedWhileItWaitsItIsUnwoundOnce,
                            R20_TheCompletersThreadContinuesTheCall,
                            R21_CancellationReachesWhatWaitsBelow);

}  // namespace greenback

#endif  // GREENBACK_TESTS_SUPPORT_FOREIGN_HOST_SUITE_H_

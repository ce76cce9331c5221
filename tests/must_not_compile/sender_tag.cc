#include <utility>

#include "greenback/await.h"
#include "greenback/senders/sender.h"
#include "greenback/senders/sender_library_for_test.h"

// Completes a receiver in a way of its own.
struct set_answer_t {};

#ifndef MUST_NOT_COMPILE
// Its signatures are found here.
template <>
struct greenback::SenderLibrary<demo::sender_tag> {
  using set_value_t = set_answer_t;
  using set_error_t = demo::set_error_t;
  using set_stopped_t = demo::set_stopped_t;
};
#endif

struct Answer {
  using sender_concept = demo::sender_tag;
  using completion_signatures = demo::completion_signatures<set_answer_t(int)>;
  template <class R>
  auto connect(R receiver) const {
    struct Operation {
      R receiver;
      void start() noexcept { std::move(receiver).set_value(42); }
    };
    return Operation{std::move(receiver)};
  }
};

int Ask() { return greenback::Await(Answer()); }

#include <utility>

#include "greenback/await.h"
#include "greenback/senders/sender.h"
#include "greenback/senders/sender_library_for_test.h"

struct Answer {
  using sender_concept = demo::sender_tag;
#ifndef MUST_NOT_COMPILE
  using completion_signatures =
      demo::completion_signatures<demo::set_value_t(int)>;
#endif
  template <class R>
  auto connect(R receiver) const {
    struct Operation {
      R receiver;
      void start() noexcept { demo::set_value_t()(std::move(receiver), 42); }
    };
    return Operation{std::move(receiver)};
  }
};

int Ask() { return greenback::Await(Answer()); }

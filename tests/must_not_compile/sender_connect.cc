#include <concepts>
#include <utility>

#include "greenback/await.h"
#include "greenback/senders/sender.h"
#include "greenback/senders/sender_library_for_test.h"

#ifndef MUST_NOT_COMPILE
template <>
struct greenback::SenderLibrary<demo::sender_tag> {
  using receiver_concept = demo::receiver_tag;
};
#endif

// As those of many libraries, it accepts only receivers that say that they are
// some.
struct Answer {
  using sender_concept = demo::sender_tag;
  using completion_signatures =
      demo::completion_signatures<demo::set_value_t(int)>;
  template <class R>
    requires std::same_as<typename R::receiver_concept, demo::receiver_tag>
  auto connect(R receiver) const {
    struct Operation {
      R receiver;
      void start() noexcept { demo::set_value_t()(std::move(receiver), 42); }
    };
    return Operation{std::move(receiver)};
  }
};

int Ask() { return greenback::Await(Answer()); }

#include <utility>

#include "greenback/await.h"
#include "greenback/senders/sender.h"
#include "greenback/senders/sender_library_for_test.h"

// For one use.
struct Answer {
  using sender_concept = demo::sender_tag;
  using completion_signatures =
      demo::completion_signatures<demo::set_value_t(int)>;
  template <class R>
  auto connect(R receiver) && {
    struct Operation {
      R receiver;
      void start() noexcept { demo::set_value_t()(std::move(receiver), 42); }
    };
    return Operation{std::move(receiver)};
  }
};

int Ask(Answer answer) {
#ifdef MUST_NOT_COMPILE
  return greenback::Await(answer);
#else
  return greenback::Await(std::move(answer));
#endif
}

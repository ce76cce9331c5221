#include "greenback/senders/as_sender.h"
#include "greenback/senders/sender_library_for_test.h"

template <>
struct greenback::SenderLibrary<demo::sender_tag> {
  using receiver_concept = demo::receiver_tag;
#ifndef MUST_NOT_COMPILE
  using set_value_t = demo::set_value_t;
  using set_error_t = demo::set_error_t;
  using set_stopped_t = demo::set_stopped_t;
  template <class... Signatures>
  using completion_signatures = demo::completion_signatures<Signatures...>;
#endif
};

auto Ask() {
  return greenback::AsSender<demo::sender_tag>([] { return 42; });
}

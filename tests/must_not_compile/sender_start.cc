#include <utility>

#include "greenback/await.h"
#include "greenback/senders/sender.h"
#include "greenback/senders/sender_library_for_test.h"

// Of a library whose operations are started by a function of its own.
struct StartFn {
  template <class Operation>
  void operator()(Operation& operation) const noexcept {
    operation.Begin();
  }
};
inline constexpr StartFn start_operation;

#ifndef MUST_NOT_COMPILE
template <>
struct greenback::SenderLibrary<demo::sender_tag> {
  static constexpr auto& start = start_operation;
};
#endif

struct Answer {
  using sender_concept = demo::sender_tag;
  using completion_signatures =
      demo::completion_signatures<demo::set_value_t(int)>;
  template <class R>
  class Operation {
   public:
    explicit Operation(R receiver) : receiver_(std::move(receiver)) {}

   private:
    friend StartFn;
    void Begin() noexcept { demo::set_value_t()(std::move(receiver_), 42); }
    R receiver_;
  };
  template <class R>
  Operation<R> connect(R receiver) const {
    return Operation<R>(std::move(receiver));
  }
};

int Ask() { return greenback::Await(Answer()); }

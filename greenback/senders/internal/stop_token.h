// StopToken: the stop token that greenback passes to a sender, so that the
// sender learns when its result is no longer wanted. Internal.
//
// It is the token of a std::stop_source, with the nested template that every
// library of senders asks for. The standard documents which function may be
// called on which thread, and what the destructor of a callback waits for.
#ifndef GREENBACK_SENDERS_INTERNAL_STOP_TOKEN_H_
#define GREENBACK_SENDERS_INTERNAL_STOP_TOKEN_H_

#include <stop_token>
#include <utility>

namespace greenback::internal {

struct StopToken : std::stop_token {
  template <class F>
  using callback_type = std::stop_callback<F>;

  // Without a source, which never requests a stop.
  StopToken() = default;
  explicit StopToken(std::stop_token token)
      : std::stop_token(std::move(token)) {}
};

}  // namespace greenback::internal

#endif  // GREENBACK_SENDERS_INTERNAL_STOP_TOKEN_H_

// kCarriesStatus<T>: whether a T can say that something failed, because it can
// be made from an absl::Status. Internal.
//
// greenback reports an error of its own in such a result, and throws where the
// result is of another type.
#ifndef GREENBACK_INTERNAL_CARRIES_STATUS_H_
#define GREENBACK_INTERNAL_CARRIES_STATUS_H_

#include <type_traits>

#include "absl/status/status.h"

namespace greenback::internal {

template <class T>
inline constexpr bool kCarriesStatus =
    std::is_same_v<T, absl::Status> ||
    (std::is_constructible_v<T, absl::Status> &&
     std::is_convertible_v<absl::Status, T>);

}  // namespace greenback::internal

#endif  // GREENBACK_INTERNAL_CARRIES_STATUS_H_

#include "greenback/await.h"
#include "greenback/runtime/co.h"

greenback::Co<int> Answer();

bool Ask() {
#ifdef MUST_NOT_COMPILE
  absl::StatusOr<int> answer = greenback::TryAwait(42);
#else
  absl::StatusOr<int> answer = greenback::TryAwait(Answer());
#endif
  return answer.ok();
}

#include "greenback/await.h"
#include "greenback/from_callback.h"

int Ask() {
  auto start = [](auto done) { done(42); };
#ifdef MUST_NOT_COMPILE
  auto cancel = [](int) {};
#else
  auto cancel = [] {};
#endif
  return greenback::Await(greenback::FromCallback<int>(start, cancel));
}

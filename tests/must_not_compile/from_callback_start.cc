#include <functional>

#include "greenback/await.h"
#include "greenback/from_callback.h"

int Ask() {
#ifdef MUST_NOT_COMPILE
  auto start = [] {};
#else
  auto start = [](std::function<void(int)> done) { done(42); };
#endif
  return greenback::Await(greenback::FromCallback<int>(start));
}

#include "greenback/await.h"
#include "greenback/from_callback.h"

int answer = 42;

int Ask() {
#ifdef MUST_NOT_COMPILE
  auto start = [](auto done) { done(answer); };
  return greenback::Await(greenback::FromCallback<int&>(start));
#else
  auto start = [](auto done) { done(&answer); };
  return *greenback::Await(greenback::FromCallback<int*>(start));
#endif
}

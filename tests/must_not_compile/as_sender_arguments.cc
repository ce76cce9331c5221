#include "greenback/senders/as_sender.h"

auto Ask() {
#ifdef MUST_NOT_COMPILE
  return greenback::AsSender([](int* value) { return *value; }, 42);
#else
  return greenback::AsSender([](int value) { return value; }, 42);
#endif
}

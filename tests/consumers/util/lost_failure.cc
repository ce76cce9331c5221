#include "util/lost_failure.h"

#include <cstdio>

#include "loop.h"

int main() {
  RunInPortal([] {
    const auto handler = [](const greenback::LostFailure&) {};
    greenback::SetLostFailureHandler(handler);
    const bool was_set = greenback::SetLostFailureHandler(nullptr) == +handler;
    std::printf("handler set: %d\n", was_set);
  });
}

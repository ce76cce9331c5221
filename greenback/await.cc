#include "greenback/await.h"

#include <string>

#include "greenback/context/exceptions.h"
#include "greenback/context/run_on_fiber.h"

namespace greenback::internal {

void ReportStackExhausted(const absl::Status& status) {
  context::ThrowOrDie(StackExhausted(std::string(status.message())));
}

}  // namespace greenback::internal

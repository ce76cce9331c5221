// What is this program's and what is greenback's, side by side.
#include <cstdio>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "greenback/greenback.h"
#include "instrument/greenback_instrument.h"
#include "instrument/instrument.h"
#include "util/greenback_util.h"
#include "util/util.h"

greenback::AsyncGenerator<int> Numbers() {
  for (int i = 1; i <= 3; ++i) {
    co_await greenback::CancelShieldedCheckpoint();
    co_yield util::Double(i);
  }
}

greenback::Co<absl::Status> Main() {
  std::string text;
  for (int number : greenback::AsyncIter(Numbers())) {
    instrument::Count();
    absl::StrAppend(&text, number, " ");
  }
  std::printf("%s%d counted\n", text.c_str(), instrument::Counted());
  co_return absl::OkStatus();
}

int main() {
  return greenback::Run(greenback::WithPortalRunTree, Main).ok() ? 0 : 1;
}

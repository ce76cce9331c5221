// Adds to the context of a benchmark's output how it was built.

#include <boost/version.hpp>
#include <string>

#include "absl/base/config.h"
#include "benchmark/benchmark.h"

namespace {

std::string Number(int number) { return std::to_string(number); }

[[maybe_unused]] const bool kAdded = [] {
#if defined(__clang__)
  benchmark::AddCustomContext("compiler", "clang " __clang_version__);
#else
  benchmark::AddCustomContext("compiler", "g++ " __VERSION__);
#endif
#if defined(__OPTIMIZE__) && defined(NDEBUG)
  benchmark::AddCustomContext("optimised", "yes");
#else
  benchmark::AddCustomContext("optimised", "no");
#endif
#if defined(__cpp_exceptions)
  benchmark::AddCustomContext("exceptions", "yes");
#else
  benchmark::AddCustomContext("exceptions", "no");
#endif
  benchmark::AddCustomContext("boost", Number(BOOST_VERSION / 100'000) + "." +
                                           Number(BOOST_VERSION / 100 % 1'000));
  benchmark::AddCustomContext("abseil", Number(ABSL_LTS_RELEASE_VERSION));
  return true;
}();

}  // namespace

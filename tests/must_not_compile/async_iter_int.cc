#include "util/async_generator.h"
#include "util/async_iter.h"

greenback::AsyncGenerator<int> Answers();

int Sum() {
  int sum = 0;
#ifdef MUST_NOT_COMPILE
  for (int answer : greenback::AsyncIter(42)) sum += answer;
#else
  for (int answer : greenback::AsyncIter(Answers())) sum += answer;
#endif
  return sum;
}

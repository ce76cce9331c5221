#include "greenback/host/posted.h"

#include <vector>

#include "gtest/gtest.h"

namespace greenback::internal {
namespace {

struct Number : Posted {
  explicit Number(int its_value) : value(its_value) {}
  int value;
};

std::vector<int> Drain(PostedQueue& queue) {
  std::vector<int> values;
  while (!queue.empty()) {
    values.push_back(static_cast<Number&>(queue.Pop()).value);
  }
  return values;
}

using Values = std::vector<int>;

TEST(PostedQueueTest, TheFirstInIsTheFirstOut) {
  Number one(1), two(2), three(3);
  PostedQueue queue;
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.first(), nullptr);
  queue.Push(one);
  EXPECT_TRUE(queue.has_one());
  EXPECT_EQ(queue.first(), &one);
  queue.Push(two);
  EXPECT_FALSE(queue.has_one());
  queue.Push(three);
  EXPECT_EQ(Drain(queue), Values({1, 2, 3}));
  queue.Push(two);  // once more
  EXPECT_EQ(Drain(queue), Values({2}));
}

TEST(PostedQueueTest, AllAreRemovedAtOnce) {
  Number one(1), two(2), three(3);
  PostedQueue queue;
  EXPECT_EQ(queue.PopAll(), nullptr);
  queue.Push(one);
  queue.Push(two);
  const Posted* const all = queue.PopAll();
  EXPECT_TRUE(queue.empty());
  queue.Push(three);
  ASSERT_EQ(all, &one);
  ASSERT_EQ(all->next, &two);
  EXPECT_EQ(all->next->next, nullptr);
  EXPECT_EQ(Drain(queue), Values({3}));
}

TEST(PostedQueueTest, AnyOneIsRemoved) {
  Number one(1), two(2), three(3), four(4);
  PostedQueue queue;
  EXPECT_FALSE(queue.Remove(one));
  for (Number* const number : {&one, &two, &three}) queue.Push(*number);
  EXPECT_TRUE(queue.Remove(two));
  EXPECT_FALSE(queue.Remove(two));
  EXPECT_TRUE(queue.Remove(three));  // the last one
  queue.Push(four);
  EXPECT_TRUE(queue.Remove(one));  // the first one
  EXPECT_EQ(Drain(queue), Values({4}));
  queue.Push(one);
  EXPECT_TRUE(queue.Remove(one));  // the only one
  EXPECT_TRUE(queue.empty());
  queue.Push(two);
  EXPECT_EQ(Drain(queue), Values({2}));
}

}  // namespace
}  // namespace greenback::internal

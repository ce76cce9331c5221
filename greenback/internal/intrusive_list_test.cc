#include "greenback/internal/intrusive_list.h"

#include <vector>

#include "gtest/gtest.h"

namespace greenback::internal {
namespace {

struct Number : ListItem<Number> {
  explicit Number(int its_value) : value(its_value) {}
  int value;
};
using List = IntrusiveList<Number>;
using Values = std::vector<int>;

Values ValuesOf(const List& list) {
  Values values;
  for (const Number* item = list.first(); item != nullptr;
       item = list.Next(*item)) {
    values.push_back(item->value);
  }
  return values;
}

TEST(IntrusiveListTest, ItemsAreAddedAtEitherEnd) {
  List list;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.first(), nullptr);
  Number one(1), two(2), three(3);
  EXPECT_FALSE(one.is_in_list());
  list.PushBack(two);
  list.PushBack(three);
  list.PushFront(one);
  EXPECT_FALSE(list.empty());
  EXPECT_TRUE(one.is_in_list());
  EXPECT_EQ(ValuesOf(list), Values({1, 2, 3}));
  list.Clear();
}

TEST(IntrusiveListTest, AnItemLeavesFromWhereverItIs) {
  Number one(1), two(2), three(3), four(4);
  List list;
  for (Number* const number : {&one, &two, &three, &four}) {
    list.PushBack(*number);
  }
  two.LeaveList();  // in the middle
  EXPECT_EQ(ValuesOf(list), Values({1, 3, 4}));
  EXPECT_FALSE(two.is_in_list());
  two.LeaveList();  // does nothing
  one.LeaveList();  // the first
  EXPECT_EQ(ValuesOf(list), Values({3, 4}));
  four.LeaveList();  // the last
  list.PushBack(two);
  EXPECT_EQ(ValuesOf(list), Values({3, 2}));
  three.LeaveList();
  two.LeaveList();  // the only one
  EXPECT_TRUE(list.empty());
  list.PushBack(one);
  EXPECT_EQ(ValuesOf(list), Values({1}));
  one.LeaveList();
}

TEST(IntrusiveListTest, AnItemMovesFromListToList) {
  Number one(1), two(2);
  List here;
  List there;
  here.PushBack(one);
  here.PushBack(two);
  one.LeaveList();
  there.PushFront(one);
  EXPECT_EQ(ValuesOf(here), Values({2}));
  EXPECT_EQ(ValuesOf(there), Values({1}));
  here.Clear();
  there.Clear();
}

TEST(IntrusiveListTest, AfterClearItemsAreInNoList) {
  Number one(1), two(2);
  List list;
  list.PushBack(one);
  list.PushBack(two);
  list.Clear();
  EXPECT_TRUE(list.empty());
  EXPECT_FALSE(one.is_in_list());
  EXPECT_FALSE(two.is_in_list());
  list.Clear();
  EXPECT_TRUE(list.empty());
}

TEST(IntrusiveListDeathTest, AnItemIsInOneListAtMost) {
  Number one(1);
  List list;
  list.PushBack(one);
  EXPECT_DEBUG_DEATH(
      {
        List other;
        one.LeaveList();
        other.PushBack(one);
        list.PushBack(one);
      },
      "is_in_list");
  one.LeaveList();
}

}  // namespace
}  // namespace greenback::internal

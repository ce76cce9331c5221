// IntrusiveList: a list whose links live in its items. Internal.
//
// An item is in one list at most, and leaves it, in constant time, without
// knowing which list that is. It must leave before it is destroyed.
#ifndef GREENBACK_INTERNAL_INTRUSIVE_LIST_H_
#define GREENBACK_INTERNAL_INTRUSIVE_LIST_H_

#include <cassert>

namespace greenback::internal {

template <class T>
class IntrusiveList;

// Base class of an item.
template <class T>
class ListItem {
 public:
  ListItem(const ListItem&) = delete;
  ListItem& operator=(const ListItem&) = delete;

  bool is_in_list() const { return next_ != nullptr; }
  // Does nothing when it is in no list.
  void LeaveList() {
    if (next_ == nullptr) return;
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = nullptr;
  }

 protected:
  ListItem() = default;
  ~ListItem() = default;

 private:
  friend class IntrusiveList<T>;
  ListItem* next_ = nullptr;  // null: in no list
  ListItem* previous_;
};

// A ring, which the list itself closes: so an item has a neighbour on each side
// wherever it is.
template <class T>
class IntrusiveList {
 public:
  IntrusiveList() { ring_.next_ = ring_.previous_ = &ring_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  bool empty() const { return ring_.next_ == &ring_; }
  // Null: there is none.
  T* first() const { return At(ring_.next_); }
  // The item after `item`, which is in this list.
  T* Next(const T& item) const { return At(Item(item).next_); }

  void PushFront(T& value) { Insert(value, ring_); }
  void PushBack(T& value) { Insert(value, *ring_.previous_); }

  // Afterwards, those that were in it are in no list.
  void Clear() {
    while (T* const item = first()) Item(*item).LeaveList();
  }

 private:
  static ListItem<T>& Item(T& value) { return value; }
  static const ListItem<T>& Item(const T& value) { return value; }
  T* At(ListItem<T>* item) const {
    return item == &ring_ ? nullptr : static_cast<T*>(item);
  }
  static void Insert(T& value, ListItem<T>& before) {
    ListItem<T>& item = value;
    assert(!item.is_in_list());
    item.next_ = before.next_;
    item.previous_ = &before;
    before.next_->previous_ = &item;
    before.next_ = &item;
  }

  ListItem<T> ring_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_INTERNAL_INTRUSIVE_LIST_H_

// IntrusiveList: a list whose links live in its items. Internal.
//
// An item is in one list at most, leaves it without knowing which, and must
// leave before it goes.
#ifndef GREENBACK_INTERNAL_INTRUSIVE_LIST_H_
#define GREENBACK_INTERNAL_INTRUSIVE_LIST_H_

namespace greenback::internal {

template <class T>
class IntrusiveList;

// Base class of an item.
template <class T>
class ListItem {
 public:
  ListItem(const ListItem&) = delete;
  ListItem& operator=(const ListItem&) = delete;

  // Does nothing when it is in no list.
  void LeaveList() {
    if (link_ == nullptr) return;
    *link_ = next_;
    if (next_ != nullptr) static_cast<ListItem*>(next_)->link_ = link_;
    link_ = nullptr;
  }

  T* next_in_list() const { return next_; }

 protected:
  ListItem() = default;
  ~ListItem() = default;

 private:
  friend class IntrusiveList<T>;
  T* next_ = nullptr;
  T** link_ = nullptr;  // what points here
};

template <class T>
class IntrusiveList {
 public:
  IntrusiveList() = default;
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  void PushFront(T& value) {
    ListItem<T>& item = value;
    item.next_ = first_;
    if (first_ != nullptr) {
      static_cast<ListItem<T>*>(first_)->link_ = &item.next_;
    }
    first_ = &value;
    item.link_ = &first_;
  }

  // Afterwards, those that were in it are in no list.
  void Clear() {
    while (first_ != nullptr) static_cast<ListItem<T>*>(first_)->LeaveList();
  }

  T* first() const { return first_; }

 private:
  T* first_ = nullptr;
};

}  // namespace greenback::internal

#endif  // GREENBACK_INTERNAL_INTRUSIVE_LIST_H_

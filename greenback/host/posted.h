// Posted: a call to be made on the thread of a host; PostedQueue: those to
// come, first in, first out. Internal.
#ifndef GREENBACK_HOST_POSTED_H_
#define GREENBACK_HOST_POSTED_H_

#include <utility>

namespace greenback::internal {

// Lives in the object that posts it, so that posting cannot fail. `run` is set
// when it is posted, and not before.
struct Posted {
  enum class End { kRun, kDrop };

  Posted* next;  // in a queue
  // Called once, on the host's thread; `posted` is not touched afterwards.
  // kDrop: the host has ended.
  void (*run)(Posted& posted, End end);
};

class PostedQueue {
 public:
  PostedQueue() = default;
  PostedQueue(const PostedQueue&) = delete;
  PostedQueue& operator=(const PostedQueue&) = delete;

  bool empty() const { return first_ == nullptr; }
  Posted* first() const { return first_; }  // null: none
  bool has_one() const { return first_ != nullptr && first_->next == nullptr; }

  void Push(Posted& posted) {
    posted.next = nullptr;
    *end_ = &posted;
    end_ = &posted.next;
  }
  // The first one, when it is not empty.
  Posted& Pop() {
    Posted& popped = *first_;
    first_ = popped.next;
    if (first_ == nullptr) end_ = &first_;
    return popped;
  }
  // All of them, the first one, linked to the others, or null.
  Posted* PopAll() {
    end_ = &first_;
    return std::exchange(first_, nullptr);
  }
  // Whether `posted` was in the queue, and now is not. Takes time in proportion
  // to what is in the queue, so that Push() need not know what comes before.
  bool Remove(Posted& posted) {
    for (Posted** link = &first_; *link != nullptr; link = &(*link)->next) {
      if (*link != &posted) continue;
      *link = posted.next;
      if (posted.next == nullptr) end_ = link;
      return true;
    }
    return false;
  }

 private:
  Posted* first_ = nullptr;
  Posted** end_ = &first_;
};

}  // namespace greenback::internal

#endif  // GREENBACK_HOST_POSTED_H_

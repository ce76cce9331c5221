// A coroutine library that owns its coroutines and destroys those that still
// wait, as docs/hosts.md shows it. Greenback needs to be told nothing: the
// plain frames that wait below a portal are unwound before the destruction
// returns.
#include <algorithm>
#include <coroutine>
#include <cstdio>
#include <deque>
#include <exception>
#include <functional>
#include <utility>
#include <vector>

#include "greenback/greenback.h"

// Another library: a group owns its coroutines, wherever they wait.
namespace mylib {

// Runs until it first suspends. Whatever completes its await resumes it.
struct Task {
  struct promise_type {
    Task get_return_object() {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
  };
  std::coroutine_handle<> handle;
};

class Group {
 public:
  Group() = default;
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  ~Group() {
    for (const std::coroutine_handle<> task : tasks_) task.destroy();
  }
  void Add(Task task) { tasks_.push_back(task.handle); }

 private:
  std::vector<std::coroutine_handle<>> tasks_;
};

// A queue of numbers. What waits is removed from it when it is destroyed.
class Queue {
 public:
  class Taken {
   public:
    explicit Taken(Queue& queue) : queue_(queue) {}
    Taken(const Taken&) = delete;
    Taken& operator=(const Taken&) = delete;
    ~Taken() {
      const auto at =
          std::find(queue_.waiting_.begin(), queue_.waiting_.end(), this);
      if (at != queue_.waiting_.end()) queue_.waiting_.erase(at);
    }
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) {
      waiter_ = waiter;
      queue_.waiting_.push_back(this);
    }
    int await_resume() const noexcept { return value_; }

   private:
    friend class Queue;
    Queue& queue_;
    std::coroutine_handle<> waiter_;
    int value_ = 0;
  };
  Taken Take() { return Taken(*this); }

  void Put(int value) {
    Taken& first = *waiting_.front();
    waiting_.pop_front();
    first.value_ = value;
    first.waiter_.resume();
  }
  bool has_waiters() const { return !waiting_.empty(); }

 private:
  std::deque<Taken*> waiting_;
};

}  // namespace mylib

// Something that must be left in order.
class Table {
 public:
  explicit Table(const char* name) : name_(name) {
    std::printf("%s locks its table\n", name_);
  }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  ~Table() {
    std::printf("%s unlocks its table%s\n", name_,
                std::uncaught_exceptions() > 0 ? ", unwinding" : "");
  }

 private:
  const char* const name_;
};

// Plain code.
int TakeTwo(const char* name, mylib::Queue& queue) {
  const Table table(name);
  const int first = greenback::Await(queue.Take());
  return first + greenback::Await(queue.Take());
}

mylib::Task PrintSum(const char* name, mylib::Queue& queue) {
  const int sum =
      co_await greenback::WithPortalRunSync(TakeTwo, name, std::ref(queue));
  std::printf("the sum of %s is %d\n", name, sum);
}

int main() {
  mylib::Queue queue;
  {
    mylib::Group group;
    group.Add(PrintSum("ann", queue));
    group.Add(PrintSum("bob", queue));
    queue.Put(1);  // for ann
    queue.Put(2);  // for bob
    queue.Put(3);  // for ann
    std::printf("the group is destroyed\n");
  }
  return queue.has_waiters() ? 1 : 0;
}

// DecorateAsSync(): a decorator of synchronous functions, here a cache of the
// least-recently-used kind, on an asynchronous function. Prints a line when a
// page is fetched, and one for each page it gets: what is in the cache is not
// fetched again, what was evicted is.
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <list>
#include <string>
#include <utility>

#include "greenback/greenback.h"
#include "util/decorate_as_sync.h"

// Somebody's cache for a function. It knows nothing of coroutines.
template <class Fn>
class LruCache {
 public:
  LruCache(size_t capacity, Fn fn) : capacity_(capacity), fn_(std::move(fn)) {}

  std::string operator()(const std::string& name) {
    auto found =
        std::find_if(pages_.begin(), pages_.end(),
                     [&](const auto& page) { return page.first == name; });
    if (found != pages_.end()) {
      pages_.splice(pages_.begin(), pages_, found);
    } else {
      std::string page = fn_(name);
      pages_.emplace_front(name, std::move(page));
      if (pages_.size() > capacity_) pages_.pop_back();
    }
    return pages_.front().second;
  }

 private:
  size_t capacity_;
  Fn fn_;
  std::list<std::pair<std::string, std::string>> pages_;  // last used first
};

// The decorator: takes a function, and gives another.
auto LruCached(size_t capacity) {
  return [capacity](auto fn) { return LruCache(capacity, std::move(fn)); };
}

// A real program would ask a server; this one only lets other tasks run.
greenback::Co<std::string> Fetch(std::string name) {
  std::printf("fetching %s\n", name.c_str());
  co_await greenback::CancelShieldedCheckpoint();
  co_return "page of " + name;
}

constexpr const char* kNames[] = {"ann", "ann", "bob", "ann",
                                  "eve", "ann", "bob"};

greenback::Co<void> Main() {
  auto fetch = greenback::DecorateAsSync(LruCached(2))(Fetch);
  for (const char* name : kNames) {
    const std::string page = co_await fetch(name);
    std::printf("%s\n", page.c_str());
  }
}

int main() { greenback::Run(Main); }

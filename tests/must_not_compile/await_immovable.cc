#include <coroutine>

#include "greenback/await.h"

struct Page {
  Page() = default;
  Page(const Page&) = delete;
};

struct Awaiter {
  bool await_ready() const noexcept { return true; }
  void await_suspend(std::coroutine_handle<>) const {}
#ifdef MUST_NOT_COMPILE
  Page&& await_resume() { return static_cast<Page&&>(page); }
#else
  Page& await_resume() { return page; }
#endif
  Page page;
};

void Ask() { (void)greenback::Await(Awaiter()); }

#include <coroutine>

#include "greenback/await.h"

struct Page {
  virtual int size() const = 0;

 protected:
  ~Page() = default;
};
struct Empty final : Page {
  int size() const override { return 0; }
};

struct Awaiter {
  bool await_ready() const noexcept { return true; }
  void await_suspend(std::coroutine_handle<>) const {}
#ifdef MUST_NOT_COMPILE
  Page&& await_resume() { return static_cast<Empty&&>(empty); }
#else
  Page& await_resume() { return empty; }
#endif
  Empty empty;
};

void Ask() { (void)greenback::TryAwait(Awaiter()); }

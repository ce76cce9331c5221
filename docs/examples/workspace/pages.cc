// The program of docs/quickstart.md.
#include <iostream>
#include <istream>
#include <streambuf>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "greenback/greenback.h"

// Something that takes its time, as a coroutine. A real program would ask a
// server.
greenback::Co<std::string> FetchPage(int number) {
  absl::Status slept = co_await greenback::Sleep(absl::Milliseconds(10));
  if (!slept.ok()) co_return "";  // cancelled
  co_return absl::StrCat("page ", number, "\n", "end of page ", number, "\n");
}

// A streambuf is synchronous: underflow() gives a character, no awaitable, and
// it is the standard library that calls it.
class Pages : public std::streambuf {
 protected:
  int_type underflow() override {
    if (number_ == 2) return traits_type::eof();
    page_ = greenback::Await(FetchPage(++number_));
    if (page_.empty()) return traits_type::eof();
    setg(page_.data(), page_.data(), page_.data() + page_.size());
    return traits_type::to_int_type(page_[0]);
  }

 private:
  int number_ = 0;
  std::string page_;
};

// Plain code, which knows of no coroutine.
void PrintLines() {
  Pages pages;
  std::istream stream(&pages);
  for (std::string line; std::getline(stream, line);) {
    std::cout << line << "\n";
  }
}

greenback::Co<void> Main() {
  co_await greenback::WithPortalRunSync(PrintLines);
}

int main() { greenback::Run(Main); }

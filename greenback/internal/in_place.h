// InPlace<T>: room for a value, or a reference, that a function makes later.
// The value is never moved.
#ifndef GREENBACK_INTERNAL_IN_PLACE_H_
#define GREENBACK_INTERNAL_IN_PLACE_H_

#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace greenback::internal {

template <class T>
class InPlace {
 public:
  InPlace() {}
  InPlace(const InPlace&) = delete;
  InPlace& operator=(const InPlace&) = delete;
  ~InPlace() { Reset(); }

  // Keeps what `make()` returns. At most once between calls of Reset().
  template <class Make>
  T& Emplace(Make&& make) {
    ::new (static_cast<void*>(std::addressof(value_))) T(make());
    made_ = true;
    return value_;
  }
  void Reset() {
    if (made_) value_.~T();
    made_ = false;
  }

  explicit operator bool() const { return made_; }
  T& operator*() { return value_; }
  T* operator->() { return std::addressof(value_); }

 private:
  union {
    T value_;
  };
  bool made_ = false;
};

template <class T>
  requires std::is_reference_v<T>
class InPlace<T> {
 public:
  InPlace() = default;
  InPlace(const InPlace&) = delete;
  InPlace& operator=(const InPlace&) = delete;

  template <class Make>
  std::remove_reference_t<T>& Emplace(Make&& make) {
    T made = make();
    value_ = std::addressof(made);
    return *value_;
  }
  void Reset() { value_ = nullptr; }

  explicit operator bool() const { return value_ != nullptr; }
  std::remove_reference_t<T>& operator*() { return *value_; }
  std::remove_reference_t<T>* operator->() { return value_; }

 private:
  std::remove_reference_t<T>* value_ = nullptr;
};

}  // namespace greenback::internal

#endif  // GREENBACK_INTERNAL_IN_PLACE_H_

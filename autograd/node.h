#pragma once
// The recorded graph. Users need var.h and grad.h only.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "tensor/tensor.h"

namespace vapo {

class Var;
struct Node;

// A counted pointer to a node. Graphs are destroyed with an explicit stack: a chain of any length is safe.
class NodePtr {
 public:
  NodePtr() = default;
  explicit NodePtr(Node* adopted) : p_(adopted) {}
  NodePtr(const NodePtr& o);
  NodePtr(NodePtr&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  NodePtr& operator=(NodePtr o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  ~NodePtr() {
    if (p_) release(p_);
  }
  Node* get() const { return p_; }
  Node* operator->() const { return p_; }
  explicit operator bool() const { return p_ != nullptr; }

 private:
  static void release(Node* p) noexcept;
  Node* p_ = nullptr;
};

class Addend;

// A move-only function (g, y) → cotangent, small ones stored in place. f may take g alone, g and the result y, or g
// and what its own result may be added to.
class Vjp {
 public:
  Vjp() = default;
  template <class F>
  requires(!std::is_same_v<std::decay_t<F>, Vjp>) Vjp(F&& f) {
    using D = std::decay_t<F>;
    constexpr bool fits = sizeof(D) <= sizeof(store_) && alignof(D) <= alignof(std::max_align_t);
    static constexpr Table table = make_table<D, fits>();
    if constexpr (fits)
      new (store_) D(std::forward<F>(f));
    else
      *reinterpret_cast<D**>(store_) = new D(std::forward<F>(f));
    table_ = &table;
  }
  Vjp(Vjp&& o) noexcept { take(o); }
  Vjp& operator=(Vjp&& o) noexcept {
    if (this != &o) {
      reset();
      take(o);
    }
    return *this;
  }
  ~Vjp() { reset(); }
  explicit operator bool() const { return table_ != nullptr; }
  bool wants_result() const { return table_->wants_result; }
  Var operator()(const Var& g, const Var& y, Addend& sum);
  void reset() noexcept {
    if (table_) std::exchange(table_, nullptr)->destroy(store_);
  }

 private:
  struct Table {
    Var (*call)(void*, const Var& g, const Var& y, Addend& sum);
    void (*move)(void* to, void* from) noexcept;
    void (*destroy)(void*) noexcept;
    bool wants_result;
  };
  template <class D, bool fits>
  static D& stored(void* store) {
    if constexpr (fits)
      return *std::launder(static_cast<D*>(store));
    else
      return **static_cast<D**>(store);
  }
  template <class D, bool fits, class V = Var>  // V: Var is complete only where a rule is made
  static constexpr Table make_table() {
    constexpr bool wants_sum = std::is_invocable_v<D&, const V&, Addend&>;
    constexpr bool wants_result = !wants_sum && std::is_invocable_v<D&, const V&, const V&>;
    return {[](void* store, const V& g, [[maybe_unused]] const V& y, [[maybe_unused]] Addend& sum) -> V {
              if constexpr (wants_sum)
                return stored<D, fits>(store)(g, sum);
              else if constexpr (wants_result)
                return stored<D, fits>(store)(g, y);
              else
                return stored<D, fits>(store)(g);
            },
            [](void* to, void* from) noexcept {
              if constexpr (fits) {
                new (to) D(std::move(stored<D, fits>(from)));
                stored<D, fits>(from).~D();
              } else {
                std::memcpy(to, from, sizeof(D*));
              }
            },
            [](void* store) noexcept {
              if constexpr (fits)
                stored<D, fits>(store).~D();
              else
                delete *static_cast<D**>(store);
            },
            wants_result};
  }
  void take(Vjp& o) noexcept {
    table_ = std::exchange(o.table_, nullptr);
    if (table_) table_->move(store_, o.store_);
  }

  const Table* table_ = nullptr;
  alignas(std::max_align_t) std::byte store_[104];
};

}  // namespace vapo

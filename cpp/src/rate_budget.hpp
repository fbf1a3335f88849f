#pragma once

#include <cstdint>

#include "dragoman/rate_limit.hpp"
#include "rate_undo.hpp"

namespace dragoman {

/// The fixed part of a budget.
struct BudgetRule {
  std::int64_t limit;
  std::int64_t period_ns;
  std::int64_t interval_ns;  ///< bucket: ns per unit, rounded up, so that the rate is never above the limit
  std::int64_t offset_ns;    ///< calendar: added to the wall clock
  Window window;

  /// The calendar window last asked for: it seldom changes, and finding one is a division.
  struct Seen {
    std::int64_t window = 0;
    std::int64_t start_ns = 0;
  };
  mutable Seen seen = {};

  [[nodiscard]] std::size_t ring_size() const noexcept {
    return window == Window::bucket ? 0 : static_cast<std::size_t>(limit);
  }
};

/// The empty state: nothing was ever granted.
BudgetState unused_budget() noexcept;

/// One count over one window: the logic over a rule, a state and a ring it does not own.
class Budget {
 public:
  /// @param undo  records every change; null for a state nobody shares
  Budget(const BudgetRule& rule, BudgetState& state, std::int64_t* ring, Undo* undo) noexcept
      : rule_(rule), state_(state), ring_(ring), undo_(undo) {}

  [[nodiscard]] bool admits(std::int64_t mono_ns, std::int64_t wall_ns, std::int64_t cost) const noexcept;
  /// The least time after which `admits`, if nothing is taken meanwhile and both clocks run evenly.
  /// @param cost  at most the limit
  [[nodiscard]] std::int64_t wait(std::int64_t mono_ns, std::int64_t wall_ns,
                                  std::int64_t cost) const noexcept;
  [[nodiscard]] std::int64_t used(std::int64_t mono_ns, std::int64_t wall_ns) const noexcept;
  void take(std::int64_t mono_ns, std::int64_t wall_ns, std::int64_t cost) noexcept;
  void refund(std::int64_t granted_ns, std::int64_t now_ns, std::int64_t cost) noexcept;

  /// Whether the state is one that grants and refunds can have made. O(limit).
  [[nodiscard]] bool plausible() const noexcept;
  /// Count as if the whole limit had been taken at `at_ns`.
  void fill(std::int64_t at_ns) noexcept;
  /// Move every grant `shift_ns` into the past, and at least to `latest_ns`: onto another monotonic clock.
  void rebase(std::int64_t shift_ns, std::int64_t latest_ns) noexcept;

 private:
  /// Where the wall clock stands.
  struct Place {
    std::int64_t window;  // index since the epoch
    std::int64_t phase;   // ns since the window began
  };

  [[nodiscard]] Place place(std::int64_t wall_ns) const noexcept;
  /// Whether the window last granted in may still be the server's present one.
  [[nodiscard]] bool remembers(std::int64_t mono_ns) const noexcept {
    return mono_ns - state_.window_last_ns < rule_.period_ns;
  }
  /// The latest time whose grants no longer count.
  [[nodiscard]] std::int64_t horizon(std::int64_t mono_ns, std::int64_t wall_ns) const noexcept;
  [[nodiscard]] std::int64_t calendar_wait(std::int64_t mono_ns, std::int64_t wall_ns,
                                           std::int64_t cost) const noexcept;
  /// Time of the `back`-th most recent grant, 1 being the last; long ago where there were fewer.
  [[nodiscard]] std::int64_t recent(std::int64_t back) const noexcept;
  [[nodiscard]] std::int64_t& slot(std::int64_t back) const noexcept;
  /// How many grants are later than `time`. O(log limit).
  [[nodiscard]] std::int64_t later_than(std::int64_t time) const noexcept;

  const BudgetRule& rule_;
  BudgetState& state_;
  std::int64_t* ring_;
  Undo* undo_;
};

}  // namespace dragoman

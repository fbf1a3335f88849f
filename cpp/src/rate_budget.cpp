#include "rate_budget.hpp"

#include <algorithm>
#include <array>

namespace dragoman {

namespace {

// Before every real time, and far enough from the ends of int64 to be subtracted from one.
constexpr std::int64_t kLongAgo = -(1ll << 61);

}  // namespace

BudgetState unused_budget() noexcept {
  return {0, kLongAgo, 0, kLongAgo, kLongAgo, 0, 0};
}

std::int64_t& Budget::slot(std::int64_t back) const noexcept {
  std::int64_t at = state_.newest - (back - 1);
  if (at < 0) at += rule_.limit;
  return ring_[at];
}

std::int64_t Budget::recent(std::int64_t back) const noexcept {
  return back > state_.size ? kLongAgo : slot(back);
}

std::int64_t Budget::later_than(std::int64_t time) const noexcept {
  std::int64_t low = 0;
  std::int64_t high = state_.size;
  while (low < high) {
    const std::int64_t middle = low + (high - low + 1) / 2;
    if (slot(middle) > time) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

Budget::Place Budget::place(std::int64_t wall_ns) const noexcept {
  const std::int64_t shifted = wall_ns + rule_.offset_ns;
  auto& known = rule_.seen;
  // Unsigned, because the two may be further apart than an int64 reaches.
  std::uint64_t phase = static_cast<std::uint64_t>(shifted) - static_cast<std::uint64_t>(known.start_ns);
  if (phase >= static_cast<std::uint64_t>(rule_.period_ns)) {
    std::int64_t window = shifted / rule_.period_ns;
    std::int64_t rest = shifted % rule_.period_ns;
    if (rest < 0) {
      --window;
      rest += rule_.period_ns;
    }
    known = {window, shifted - rest};
    phase = static_cast<std::uint64_t>(rest);
  }
  return {known.window, static_cast<std::int64_t>(phase)};
}

std::int64_t Budget::horizon(std::int64_t mono_ns, std::int64_t wall_ns) const noexcept {
  if (rule_.window == Window::rolling) return mono_ns - rule_.period_ns;
  const Place now = place(wall_ns);
  const bool stepped_back = remembers(mono_ns) && now.window < state_.window;
  return stepped_back ? mono_ns - rule_.period_ns : mono_ns - now.phase - 1;
}

bool Budget::admits(std::int64_t mono_ns, std::int64_t wall_ns, std::int64_t cost) const noexcept {
  if (rule_.window == Window::bucket) {
    const std::int64_t arrival = std::max(state_.arrival_ns, mono_ns) + cost * rule_.interval_ns;
    return arrival - mono_ns <= rule_.limit * rule_.interval_ns;
  }
  if (rule_.window == Window::calendar && remembers(mono_ns) && place(wall_ns).window == state_.window &&
      state_.window_used + cost > rule_.limit) {
    return false;
  }
  return recent(rule_.limit - cost + 1) <= horizon(mono_ns, wall_ns);
}

std::int64_t Budget::wait(std::int64_t mono_ns, std::int64_t wall_ns, std::int64_t cost) const noexcept {
  if (admits(mono_ns, wall_ns, cost)) return 0;
  switch (rule_.window) {
    case Window::bucket:
      return state_.arrival_ns + (cost - rule_.limit) * rule_.interval_ns - mono_ns;
    case Window::rolling:
      return recent(rule_.limit - cost + 1) + rule_.period_ns - mono_ns;
    case Window::calendar:
      break;
  }
  return calendar_wait(mono_ns, wall_ns, cost);
}

std::int64_t Budget::calendar_wait(std::int64_t mono_ns, std::int64_t wall_ns,
                                   std::int64_t cost) const noexcept {
  // A refusal can end only where one of these happens, so the first that admits is the answer.
  const auto boundary_after = [&](std::int64_t delay) {
    return delay + rule_.period_ns - place(wall_ns + delay).phase;
  };
  const Place now = place(wall_ns);
  const std::int64_t next = rule_.period_ns - now.phase;
  if (!remembers(mono_ns)) return next;
  const std::int64_t forgotten = state_.window_last_ns + rule_.period_ns - mono_ns;
  const std::int64_t last_resort = boundary_after(forgotten);
  std::array<std::int64_t, 5> delays{next, next, next, forgotten, last_resort};
  if (now.window < state_.window) {
    const std::int64_t ahead = state_.window - now.window - 1;
    if (ahead <
        forgotten / rule_.period_ns + 1) {  // nearer than the end of its memory, so no overflow either
      delays[1] = next + ahead * rule_.period_ns;
      delays[2] = delays[1] + rule_.period_ns;
    }
    delays[0] = recent(rule_.limit - cost + 1) + rule_.period_ns - mono_ns;
  }
  std::sort(delays.begin(), delays.end());
  for (const std::int64_t delay : delays) {
    if (delay > 0 && admits(mono_ns + delay, wall_ns + delay, cost)) return delay;
  }
  return last_resort;
}

std::int64_t Budget::used(std::int64_t mono_ns, std::int64_t wall_ns) const noexcept {
  if (rule_.window == Window::bucket) {
    const std::int64_t backlog = std::max<std::int64_t>(state_.arrival_ns - mono_ns, 0);
    return (backlog + rule_.interval_ns - 1) / rule_.interval_ns;
  }
  std::int64_t used = later_than(horizon(mono_ns, wall_ns));
  if (rule_.window == Window::calendar && remembers(mono_ns) && place(wall_ns).window == state_.window) {
    used = std::max(used, state_.window_used);
  }
  return std::min(used, rule_.limit);
}

void Budget::take(std::int64_t mono_ns, std::int64_t wall_ns, std::int64_t cost) noexcept {
  if (rule_.window == Window::bucket) {
    put(undo_, state_.arrival_ns, std::max(state_.arrival_ns, mono_ns) + cost * rule_.interval_ns);
    return;
  }
  if (rule_.window == Window::calendar) {
    const std::int64_t window = place(wall_ns).window;
    const bool afresh = window > state_.window || !remembers(mono_ns);
    if (afresh) {
      put(undo_, state_.window, window);
      put(undo_, state_.window_first_ns, mono_ns);
    }
    put(undo_, state_.window_used, (afresh ? 0 : state_.window_used) + cost);
    if (window == state_.window) put(undo_, state_.window_last_ns, mono_ns);
  }
  std::int64_t newest = state_.newest;
  for (std::int64_t i = 0; i < cost; ++i) {
    newest = newest + 1 == rule_.limit ? 0 : newest + 1;
    put(undo_, ring_[newest], mono_ns);
  }
  put(undo_, state_.newest, newest);
  put(undo_, state_.size, std::min(state_.size + cost, rule_.limit));
}

void Budget::refund(std::int64_t granted_ns, std::int64_t now_ns, std::int64_t cost) noexcept {
  if (rule_.window == Window::bucket) {
    // The backlog would be less by the whole cost only if the bucket never ran dry since; by what has not
    // yet drained away, it would in any case.
    const std::int64_t drained = std::max<std::int64_t>(now_ns - granted_ns, 0);
    const std::int64_t weighs = std::max<std::int64_t>(cost * rule_.interval_ns - drained, 0);
    put(undo_, state_.arrival_ns, state_.arrival_ns - weighs);
    return;
  }
  const std::int64_t after = later_than(granted_ns);
  const std::int64_t removed = std::min(later_than(granted_ns - 1) - after, cost);
  if (removed == 0) return;
  for (std::int64_t back = after + removed; back > removed; --back) {
    put(undo_, slot(back), slot(back - removed));
  }
  put(undo_, state_.newest, (state_.newest - removed + rule_.limit) % rule_.limit);
  put(undo_, state_.size, state_.size - removed);
  if (rule_.window == Window::calendar && granted_ns >= state_.window_first_ns) {
    put(undo_, state_.window_used, state_.window_used - removed);
  }
}

bool Budget::plausible() const noexcept {
  const auto in_range = [](std::int64_t time) { return time >= kLongAgo && time <= -2 * kLongAgo; };
  if (rule_.window == Window::bucket) return in_range(state_.arrival_ns);
  if (state_.newest < 0 || state_.newest >= rule_.limit || state_.size < 0 || state_.size > rule_.limit) {
    return false;
  }
  if (!in_range(state_.window_first_ns) || !in_range(state_.window_last_ns) || state_.window_used < 0) {
    return false;
  }
  for (std::int64_t back = 1; back <= state_.size; ++back) {
    if (!in_range(slot(back)) || (back > 1 && slot(back) > slot(back - 1))) return false;
  }
  return true;
}

void Budget::fill(std::int64_t at_ns) noexcept {
  state_ = unused_budget();
  if (rule_.window == Window::bucket) {
    state_.arrival_ns = at_ns + rule_.limit * rule_.interval_ns;
    return;
  }
  std::fill_n(ring_, rule_.limit, at_ns);
  state_.size = rule_.limit;
}

void Budget::rebase(std::int64_t shift_ns, std::int64_t latest_ns) noexcept {
  const auto move = [&](std::int64_t& time, std::int64_t latest) {
    if (time > kLongAgo) time = std::max(std::min(time - shift_ns, latest), kLongAgo);
  };
  if (rule_.window == Window::bucket) {
    move(state_.arrival_ns, latest_ns + rule_.limit * rule_.interval_ns);
    return;
  }
  move(state_.window_first_ns, latest_ns);
  move(state_.window_last_ns, latest_ns);
  for (std::int64_t back = 1; back <= state_.size; ++back) move(slot(back), latest_ns);
}

}  // namespace dragoman

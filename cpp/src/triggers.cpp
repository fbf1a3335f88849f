#include "dragoman/triggers.hpp"

#include <algorithm>
#include <cmath>

namespace dragoman {

namespace {

using Kind = Triggers::Kind;

bool trails(Kind kind) noexcept {
  return kind >= Kind::trail_below;
}

/// The multiple of `step` at a level, or next to it on the side where prices reach it earlier.
double on_step(double level, double step, bool below) noexcept {
  constexpr double kFinest = 1e15;
  constexpr double kNoise = 1e-6;      // of a step: decimals are not exact in binary
  constexpr double kRounding = 1e-15;  // of a number of steps, where that is large
  const double steps = level / step;
  const double nearest = std::round(steps);
  const double count = std::fabs(steps - nearest) < std::max(kNoise, steps * kRounding) ? nearest
                       : below                                                          ? std::ceil(steps)
                                                                                        : std::floor(steps);
  // A product would be off by rounding; a quotient of whole numbers is the very number that a price is read
  // as.
  double parts = 1.0;
  double whole = std::round(step);
  while (parts < kFinest && (whole < 1.0 || std::fabs(step * parts - whole) > kNoise * whole)) {
    parts *= 10.0;
    whole = std::round(step * parts);
  }
  return whole < 1.0 ? count * step : count * whole / parts;
}

/// Where the level of a trailing trigger should stand by its best price.
double wanted_level(const Triggers::Armed& one) noexcept {
  const bool below = one.kind == Kind::trail_below;
  const double distance = std::max(one.percent ? one.best * (one.trail / 100.0) : one.trail, one.step);
  const double level = below ? one.best - distance : one.best + distance;
  return one.step > 0.0 ? on_step(level, one.step, below) : level;
}

/// Take a price into a trailing trigger: its best, and its level, which never goes back.
void follow(Triggers::Armed& one, double price) noexcept {
  const bool below = one.kind == Kind::trail_below;
  if (one.best == one.best && !(below ? price > one.best : price < one.best)) return;
  one.best = price;
  const double wanted = wanted_level(one);
  if (one.level != one.level || (below ? wanted > one.level : wanted < one.level)) one.level = wanted;
}

/// Room for one more, by doubling: a vector's own `reserve` grows to what is asked and no further.
template <class Value>
void make_room(std::vector<Value>& into, std::size_t wanted) {
  if (into.capacity() < wanted) into.reserve(std::max(wanted, 2 * into.capacity()));
}

}  // namespace

// --- arming ----------------------------------------------------------------------------------------

std::uint32_t Triggers::prices_of(std::int32_t instrument, PriceSource source) {
  HandleIndex& index = index_[static_cast<std::size_t>(source)];
  if (const std::uint32_t place = index.find(instrument); place != kNone) return place;
  const auto made = static_cast<std::uint32_t>(prices_.size());
  make_room(prices_, prices_.size() + 1);
  waiting_.emplace_back();
  try {
    index.set(instrument, made);
  } catch (...) {
    waiting_.pop_back();
    throw;
  }
  prices_.emplace_back();
  sources_ |= 1u << static_cast<unsigned>(source);
  return made;
}

void Triggers::arm(std::int64_t id, const Order& order) {
  // Everything that may run out of memory comes first: one that was armed is replaced whole or not at all.
  const std::uint32_t place = prices_of(order.instrument, order.source);
  Waiting& waiting = waiting_[place];
  const std::size_t wanted = waiting.armed + 1;
  make_room(waiting.below, wanted);
  make_room(waiting.above, wanted);
  make_room(waiting.trailing, wanted);
  make_room(waiting.sleeping, wanted);
  make_room(fired_, by_id_.size() + 1);
  make_room(free_, slab_.size() + 1);
  if (free_.empty()) make_room(slab_, slab_.size() + 1);
  const auto [found, is_new] = by_id_.try_emplace(id, kNone);
  if (!is_new) {
    const std::uint32_t before = found->second;
    take_out(before);
    free_.push_back(before);
  }
  auto at = static_cast<std::uint32_t>(slab_.size());
  if (free_.empty()) {
    slab_.emplace_back();
  } else {
    at = free_.back();
    free_.pop_back();
  }
  found->second = at;
  const bool sleeps = order.after_ns > 0;
  slab_[at] = {id,       order.kind,  order.percent, sleeps,         place,     order.level,
               kNoPrice, order.trail, order.step,    order.after_ns, armings_++};
  ++waiting.armed;
  if (sleeps) {
    waiting.sleeping.push_back(at);
    prices_[place].wakes_ns = std::min(prices_[place].wakes_ns, order.after_ns);
  } else {
    enlist(at);
    find_calm(place);
  }
}

bool Triggers::disarm(std::int64_t id) noexcept {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return false;
  take_out(found->second);
  free_.push_back(found->second);
  by_id_.erase(found);
  return true;
}

const Triggers::Armed* Triggers::find(std::int64_t id) const noexcept {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &slab_[found->second];
}

/// Put a trigger where ticks find it. There is room.
void Triggers::enlist(std::uint32_t at) noexcept {
  const Armed& one = slab_[at];
  Waiting& waiting = waiting_[one.place];
  if (trails(one.kind)) {
    waiting.trailing.push_back(at);
    return;
  }
  const bool below = one.kind == Kind::below;
  const auto before = [below](double level, const Fixed& other) {
    return below ? level < other.level : level > other.level;
  };
  std::vector<Fixed>& row = below ? waiting.below : waiting.above;
  row.insert(std::upper_bound(row.begin(), row.end(), one.level, before), {one.level, at});
}

/// Take a trigger out of what ticks look at; its place in `slab_` is the caller's to free.
void Triggers::take_out(std::uint32_t at) noexcept {
  const Armed& one = slab_[at];
  Waiting& waiting = waiting_[one.place];
  --waiting.armed;
  if (one.sleeping) {
    std::erase(waiting.sleeping, at);
    std::int64_t& wakes_ns = prices_[one.place].wakes_ns;
    wakes_ns = kNever;
    for (const std::uint32_t other : waiting.sleeping) wakes_ns = std::min(wakes_ns, slab_[other].after_ns);
    return;
  }
  if (trails(one.kind)) {
    std::erase(waiting.trailing, at);
  } else {
    std::vector<Fixed>& row = one.kind == Kind::below ? waiting.below : waiting.above;
    row.erase(std::find_if(row.begin(), row.end(), [at](const Fixed& fixed) { return fixed.at == at; }));
  }
  find_calm(one.place);
}

/// Enlist those whose time has come.
void Triggers::wake(std::uint32_t place, std::int64_t ts_recv) noexcept {
  std::vector<std::uint32_t>& sleeping = waiting_[place].sleeping;
  std::int64_t wakes_ns = kNever;
  std::size_t kept = 0;
  for (const std::uint32_t at : sleeping) {
    if (slab_[at].after_ns <= ts_recv) {
      slab_[at].sleeping = false;
      enlist(at);
    } else {
      wakes_ns = std::min(wakes_ns, slab_[at].after_ns);
      sleeping[kept++] = at;
    }
  }
  sleeping.resize(kept);
  prices_[place].wakes_ns = wakes_ns;
}

void Triggers::find_calm(std::uint32_t place) noexcept {
  const Waiting& waiting = waiting_[place];
  double low = waiting.below.empty() ? -kInfinity : waiting.below.back().level;
  double high = waiting.above.empty() ? kInfinity : waiting.above.back().level;
  for (const std::uint32_t at : waiting.trailing) {
    const Armed& one = slab_[at];
    if (one.best != one.best) {  // any price is its first
      low = kInfinity;
      break;
    }
    const bool below = one.kind == Kind::trail_below;
    low = std::max(low, below ? one.level : one.best);
    high = std::min(high, below ? one.best : one.level);
  }
  prices_[place].low = low;
  prices_[place].high = high;
}

// --- firing ----------------------------------------------------------------------------------------

bool Triggers::delayed(const Record& record) noexcept {
  if (max_delay_ns_ <= 0 || record.ts_event == kAbsentInt || record.ts_recv <= 0 ||
      record.ts_event >= record.ts_recv - max_delay_ns_) {
    return false;
  }
  ++counters_.ignored_delayed;
  return true;
}

std::size_t Triggers::apply(const BatchView& batch) noexcept {
  fired_.clear();
  const Record* const end = batch.records + batch.record_count;
  for (const Record* record = batch.records; record != end; ++record) {
    counters_.ignored_unbound += record->instrument < 0;
    const std::size_t before = fired_.size();
    for (std::uint32_t left = sources_; left != 0; left &= left - 1) {
      const auto source = static_cast<std::size_t>(__builtin_ctz(left));
      const std::uint32_t place = index_[source].find(record->instrument);
      if (place == kNone) continue;
      const double price = usable_price(*record, static_cast<PriceSource>(source), counters_);
      if (!(price > 0.0) || delayed(*record)) continue;
      Prices& prices = prices_[place];
      if (!prices.clock.take_tick(record->ts_event, record->ts_recv, counters_)) continue;
      ++counters_.used;
      if (price > prices.low && price < prices.high && record->ts_recv < prices.wakes_ns) [[likely]] {
        continue;
      }
      look(place, price, record->ts_event, record->ts_recv);
    }
    if (fired_.size() > before + 1) put_in_order(before);
  }
  return fired_.size();
}

std::size_t Triggers::fire_at(std::int32_t instrument, PriceSource source, double price,
                              std::int64_t ts) noexcept {
  fired_.clear();
  const std::uint32_t place = index_[static_cast<std::size_t>(source)].find(instrument);
  if (place == kNone || !check_price(price, counters_)) return 0;
  if (!prices_[place].clock.take_poll(ts, counters_)) return 0;
  ++counters_.used;
  look(place, price, kAbsentInt, ts);
  put_in_order(0);
  return fired_.size();
}

/// A price that is not calm: move what trails, fire what it reached.
void Triggers::look(std::uint32_t place, double price, std::int64_t ts_event, std::int64_t ts_recv) noexcept {
  if (ts_recv >= prices_[place].wakes_ns) wake(place, ts_recv);
  Waiting& waiting = waiting_[place];
  while (!waiting.below.empty() && price <= waiting.below.back().level) {
    const std::uint32_t at = waiting.below.back().at;
    waiting.below.pop_back();
    fire(at, price, ts_event, ts_recv);
  }
  while (!waiting.above.empty() && price >= waiting.above.back().level) {
    const std::uint32_t at = waiting.above.back().at;
    waiting.above.pop_back();
    fire(at, price, ts_event, ts_recv);
  }
  std::size_t kept = 0;
  for (const std::uint32_t at : waiting.trailing) {
    Armed& one = slab_[at];
    follow(one, price);
    if (one.kind == Kind::trail_below ? price <= one.level : price >= one.level) {
      fire(at, price, ts_event, ts_recv);
    } else {
      waiting.trailing[kept++] = at;
    }
  }
  waiting.trailing.resize(kept);
  find_calm(place);
}

/// Have what one tick fired stand as it was armed, whichever of its prices it was.
void Triggers::put_in_order(std::size_t from) noexcept {
  std::sort(fired_.begin() + static_cast<std::ptrdiff_t>(from), fired_.end(),
            [](const Fired& a, const Fired& b) { return a.armed < b.armed; });
}

/// Note what fired and forget it; the row it stood in is the caller's.
void Triggers::fire(std::uint32_t at, double price, std::int64_t ts_event, std::int64_t ts_recv) noexcept {
  const Armed& one = slab_[at];
  fired_.push_back({one.id, price, one.level, ts_event, ts_recv, one.armed});
  by_id_.erase(one.id);
  --waiting_[one.place].armed;
  free_.push_back(at);
}

}  // namespace dragoman

#include "dragoman/triggers.hpp"

#include <algorithm>

namespace dragoman {

namespace {

using Kind = Triggers::Kind;

bool trails(Kind kind) noexcept {
  return kind >= Kind::trail_below;
}

/// Where the level of a trailing trigger should stand by its best price.
double wanted_level(const Triggers::Armed& one) noexcept {
  const double distance = one.percent ? one.best * (one.trail / 100.0) : one.trail;
  return one.kind == Kind::trail_below ? one.best - distance : one.best + distance;
}

/// Take a price into a trailing trigger: its best, and its level, which never goes back.
void follow(Triggers::Armed& one, double price) noexcept {
  const bool below = one.kind == Kind::trail_below;
  if (one.best == one.best && !(below ? price > one.best : price < one.best)) return;
  one.best = price;
  const double wanted = wanted_level(one);
  const double move = below ? wanted - one.level : one.level - wanted;
  // Decimal steps are not exact in binary: a move that falls short of the step by rounding alone is one.
  if (one.level != one.level || (move > 0.0 && move >= one.step * (1.0 - 1e-9))) one.level = wanted;
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
  prices_.emplace_back();
  try {
    index.set(instrument, made);
  } catch (...) {
    prices_.pop_back();
    throw;
  }
  sources_ |= 1u << static_cast<unsigned>(source);
  return made;
}

void Triggers::arm(std::int64_t id, const Order& order) {
  // Everything that may run out of memory comes first: one that was armed is replaced whole or not at all.
  const std::uint32_t place = prices_of(order.instrument, order.source);
  Prices& prices = prices_[place];
  const std::size_t wanted = prices.armed + 1;
  make_room(prices.below, wanted);
  make_room(prices.above, wanted);
  make_room(prices.trailing, wanted);
  make_room(prices.waiting, wanted);
  make_room(fired_, by_id_.size() + 1);
  make_room(free_, slab_.size() + 1);
  if (free_.empty()) make_room(slab_, slab_.size() + 1);
  const auto [found, is_new] = by_id_.try_emplace(id, kNone);
  if (!is_new) {
    const std::uint32_t before = found->second;
    Prices& left = prices_[slab_[before].place];
    take_out(left, before);
    find_calm(left);
    free_.push_back(before);
  }
  std::uint32_t at = static_cast<std::uint32_t>(slab_.size());
  if (free_.empty()) {
    slab_.emplace_back();
  } else {
    at = free_.back();
    free_.pop_back();
  }
  found->second = at;
  // No price is as early as kAbsentInt, so one that may count all prices never waits.
  slab_[at] = {id,       order.kind,  order.percent, order.after_ns > 0, place,     order.level,
               kNoPrice, order.trail, order.step,    order.after_ns,     armings_++};
  ++prices.armed;
  if (slab_[at].waiting) {
    prices.waiting.push_back(at);
    prices.wakes_ns = std::min(prices.wakes_ns, order.after_ns);
  } else {
    enlist(prices, at);
    find_calm(prices);
  }
}

bool Triggers::disarm(std::int64_t id) noexcept {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return false;
  const std::uint32_t at = found->second;
  Prices& prices = prices_[slab_[at].place];
  take_out(prices, at);
  find_calm(prices);
  by_id_.erase(found);
  free_.push_back(at);
  return true;
}

const Triggers::Armed* Triggers::find(std::int64_t id) const noexcept {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &slab_[found->second];
}

/// Put a trigger where ticks find it. There is room.
void Triggers::enlist(Prices& prices, std::uint32_t at) noexcept {
  const Armed& one = slab_[at];
  if (trails(one.kind)) {
    prices.trailing.push_back(at);
  } else if (one.kind == Kind::below) {
    const auto before = [](double level, const Fixed& other) { return level < other.level; };
    prices.below.insert(std::upper_bound(prices.below.begin(), prices.below.end(), one.level, before),
                        {one.level, at});
  } else {
    const auto before = [](double level, const Fixed& other) { return level > other.level; };
    prices.above.insert(std::upper_bound(prices.above.begin(), prices.above.end(), one.level, before),
                        {one.level, at});
  }
}

void Triggers::take_out(Prices& prices, std::uint32_t at) noexcept {
  const Armed& one = slab_[at];
  --prices.armed;
  if (one.waiting) {
    std::erase(prices.waiting, at);
    prices.wakes_ns = kNever;
    for (const std::uint32_t other : prices.waiting) {
      prices.wakes_ns = std::min(prices.wakes_ns, slab_[other].after_ns);
    }
  } else if (trails(one.kind)) {
    std::erase(prices.trailing, at);
  } else {
    std::vector<Fixed>& row = one.kind == Kind::below ? prices.below : prices.above;
    row.erase(std::find_if(row.begin(), row.end(), [at](const Fixed& fixed) { return fixed.at == at; }));
  }
}

/// Enlist those whose time has come.
void Triggers::wake(Prices& prices, std::int64_t ts_recv) noexcept {
  prices.wakes_ns = kNever;
  std::size_t kept = 0;
  for (const std::uint32_t at : prices.waiting) {
    if (slab_[at].after_ns <= ts_recv) {
      slab_[at].waiting = false;
      enlist(prices, at);
    } else {
      prices.wakes_ns = std::min(prices.wakes_ns, slab_[at].after_ns);
      prices.waiting[kept++] = at;
    }
  }
  prices.waiting.resize(kept);
}

void Triggers::find_calm(Prices& prices) noexcept {
  double low = prices.below.empty() ? -kInfinity : prices.below.back().level;
  double high = prices.above.empty() ? kInfinity : prices.above.back().level;
  for (const std::uint32_t at : prices.trailing) {
    const Armed& one = slab_[at];
    if (one.best != one.best) {  // any price is its first
      low = kInfinity;
      break;
    }
    const bool below = one.kind == Kind::trail_below;
    low = std::max(low, below ? one.level : one.best);
    high = std::min(high, below ? one.best : one.level);
  }
  prices.low = low;
  prices.high = high;
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
      look(prices, price, record->ts_event, record->ts_recv);
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
  Prices& prices = prices_[place];
  if (!prices.clock.take_poll(ts, counters_)) return 0;
  ++counters_.used;
  look(prices, price, kAbsentInt, ts);
  put_in_order(0);
  return fired_.size();
}

/// A price that is not calm: move what trails, fire what it reached.
void Triggers::look(Prices& prices, double price, std::int64_t ts_event, std::int64_t ts_recv) noexcept {
  if (ts_recv >= prices.wakes_ns) wake(prices, ts_recv);
  while (!prices.below.empty() && price <= prices.below.back().level) {
    const std::uint32_t at = prices.below.back().at;
    prices.below.pop_back();
    fire(prices, at, price, ts_event, ts_recv);
  }
  while (!prices.above.empty() && price >= prices.above.back().level) {
    const std::uint32_t at = prices.above.back().at;
    prices.above.pop_back();
    fire(prices, at, price, ts_event, ts_recv);
  }
  std::size_t kept = 0;
  for (const std::uint32_t at : prices.trailing) {
    Armed& one = slab_[at];
    follow(one, price);
    if (one.kind == Kind::trail_below ? price <= one.level : price >= one.level) {
      fire(prices, at, price, ts_event, ts_recv);
    } else {
      prices.trailing[kept++] = at;
    }
  }
  prices.trailing.resize(kept);
  find_calm(prices);
}

/// Have what one tick fired stand as it was armed, whichever of its prices it was.
void Triggers::put_in_order(std::size_t from) noexcept {
  std::sort(fired_.begin() + static_cast<std::ptrdiff_t>(from), fired_.end(),
            [](const Fired& a, const Fired& b) { return a.armed < b.armed; });
}

/// Note what fired and forget it; its row is the caller's.
void Triggers::fire(Prices& prices, std::uint32_t at, double price, std::int64_t ts_event,
                    std::int64_t ts_recv) noexcept {
  const Armed& one = slab_[at];
  fired_.push_back({one.id, price, one.level, ts_event, ts_recv, one.armed});
  by_id_.erase(one.id);
  --prices.armed;
  free_.push_back(at);
}

}  // namespace dragoman

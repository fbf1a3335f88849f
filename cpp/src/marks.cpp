#include "dragoman/marks.hpp"

namespace dragoman {

// --- setting up ------------------------------------------------------------------------------------

Marks::Instrument& Marks::at(std::int32_t instrument) {
  const std::uint32_t place = index_.find(instrument);
  if (place != kNone) return instruments_[place];
  const auto made = static_cast<std::uint32_t>(instruments_.size());
  instruments_.emplace_back();
  instruments_.back().instrument = instrument;
  try {
    index_.set(instrument, made);
  } catch (...) {
    instruments_.pop_back();
    throw;
  }
  return instruments_.back();
}

Marks::Group& Marks::group_of(std::int64_t name) {
  if (const auto found = by_name_.find(name); found != by_name_.end()) return *found->second;
  moved_.reserve(groups_.size() + 1);
  crossed_.reserve(groups_.size() + 1);
  groups_.emplace_back();
  groups_.back().name = name;
  try {
    by_name_.emplace(name, &groups_.back());
  } catch (...) {
    groups_.pop_back();
    throw;
  }
  return groups_.back();
}

void Marks::set(std::uint32_t slot, const Position& position) {
  // Everything that may run out of memory comes first: a position is replaced whole or not at all.
  if (slot >= rows_.size()) {
    touched_.reserve(slot + 1 > 2 * rows_.size() ? slot + 1 : 2 * rows_.size());
    rows_.resize(slot + 1);
  }
  at(position.instrument);
  Group& group = group_of(position.group);
  if (rows_[slot].held) unlink(slot);
  const std::uint32_t place = index_.find(position.instrument);
  Instrument& instrument = instruments_[place];
  Row& row = rows_[slot];
  row.quantity = position.quantity;
  row.average = position.average;
  row.multiplier = position.multiplier;
  row.close = position.close;
  row.unrealised = kNoPrice;
  row.group = &group;
  row.place = place;
  row.previous = kNone;
  row.next = instrument.first;
  row.held = true;
  if (row.next != kNone) rows_[row.next].previous = slot;
  instrument.first = slot;
  ++held_;
  ++group.rows;
  ++group.missing;
  revalue(row, instrument.price);
  note(row, slot);
  settle();
}

bool Marks::remove(std::uint32_t slot) noexcept {
  if (!holds(slot)) return false;
  unlink(slot);
  settle();
  return true;
}

/// Take a row out of its instrument and its group, which then has its total without it.
void Marks::unlink(std::uint32_t slot) noexcept {
  Row& row = rows_[slot];
  Instrument& instrument = instruments_[row.place];
  (row.previous != kNone ? rows_[row.previous].next : instrument.first) = row.next;
  if (row.next != kNone) rows_[row.next].previous = row.previous;
  revalue(row, kNoPrice);
  --row.group->missing;
  if (--row.group->rows == 0) row.group->total.clear();
  row.held = false;
  --held_;
}

void Marks::watch(std::int64_t name, double below) {
  Group& group = group_of(name);
  group.below = below;
  group.watched = true;
  if (!group.moved) {
    group.moved = true;
    moved_.push_back(&group);
  }
  settle();
}

bool Marks::unwatch(std::int64_t name) noexcept {
  const auto found = by_name_.find(name);
  if (found == by_name_.end() || !found->second->watched) return false;
  found->second->watched = false;
  return true;
}

// --- marking ---------------------------------------------------------------------------------------

std::size_t Marks::apply(const BatchView& batch) noexcept {
  ++batches_;
  std::size_t changed = 0;
  const Record* const end = batch.records + batch.record_count;
  for (const Record* record = batch.records; record != end; ++record) {
    const std::uint32_t place = index_.find(record->instrument);
    if (place == kNone) {
      counters_.ignored_unbound += record->instrument < 0;
      continue;
    }
    const double price = usable_price(*record, source_, counters_);
    if (!(price > 0.0)) continue;
    Instrument& instrument = instruments_[place];
    if (!instrument.clock.take_tick(record->ts_event, record->ts_recv, counters_)) continue;
    ++counters_.used;
    if (price != instrument.price) changed += mark_rows(instrument, price);
  }
  settle();
  return changed;
}

bool Marks::mark(std::int32_t handle, double price, std::int64_t ts) {
  Instrument& instrument = at(handle);
  if (!check_price(price, counters_) || !instrument.clock.take_poll(ts, counters_)) return false;
  ++counters_.used;
  if (price != instrument.price) {
    ++batches_;
    mark_rows(instrument, price);
    settle();
  }
  return true;
}

std::size_t Marks::mark_rows(Instrument& instrument, double price) noexcept {
  instrument.price = price;
  std::size_t changed = 0;
  for (std::uint32_t slot = instrument.first; slot != kNone; slot = rows_[slot].next) {
    Row& row = rows_[slot];
    revalue(row, price);
    note(row, slot);
    changed += row.batch != batches_;
    row.batch = batches_;
  }
  return changed;
}

/// Put what a row is worth at a price into its group's total, in place of what it was worth.
void Marks::revalue(Row& row, double price) noexcept {
  Group& group = *row.group;
  const double before = row.unrealised;
  const double now = (price - row.average) * row.quantity * row.multiplier + 0.0;  // -0.0 reads badly
  row.unrealised = now;
  if (before == before) {
    group.total.add(-before);
    ++group.missing;
  }
  if (now == now) {
    group.total.add(now);
    --group.missing;
  }
  if (group.watched && !group.moved) {
    group.moved = true;
    moved_.push_back(&group);
  }
}

void Marks::note(Row& row, std::uint32_t slot) noexcept {
  if (!row.touched) {
    row.touched = true;
    touched_.push_back(slot);
  }
}

/// Look at the watched groups that moved, now that all of a batch is in.
void Marks::settle() noexcept {
  for (Group* const group : moved_) {
    group->moved = false;
    if (group->watched && group->total.value() <= group->below) {
      group->watched = false;
      // A group armed again before anybody asked stands here already.
      bool told = false;
      for (const Group* const one : crossed_) told |= one == group;
      if (!told) crossed_.push_back(group);
    }
  }
  moved_.clear();
}

// --- reading ---------------------------------------------------------------------------------------

double Marks::price(std::int32_t instrument) const noexcept {
  const std::uint32_t place = index_.find(instrument);
  return place == kNone ? kNoPrice : instruments_[place].price;
}

std::int64_t Marks::time(std::int32_t instrument) const noexcept {
  const std::uint32_t place = index_.find(instrument);
  return place == kNone ? kNoTime : instruments_[place].clock.ts_recv;
}

bool Marks::stale(std::int32_t instrument, std::int64_t now_ns) const noexcept {
  const std::int64_t came = time(instrument);
  if (came == kNoTime) return true;
  return max_age_ns_ > 0 && now_ns > came &&
         static_cast<std::uint64_t>(now_ns) - static_cast<std::uint64_t>(came) >
             static_cast<std::uint64_t>(max_age_ns_);
}

double Marks::unrealised(std::uint32_t slot) const noexcept {
  return rows_[slot].unrealised;
}

double Marks::day(std::uint32_t slot) const noexcept {
  const Row& row = rows_[slot];
  return (instruments_[row.place].price - row.close) * row.quantity * row.multiplier;
}

double Marks::value(std::uint32_t slot) const noexcept {
  const Row& row = rows_[slot];
  return instruments_[row.place].price * row.quantity * row.multiplier;
}

double Marks::total(std::int64_t name) const noexcept {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? 0.0 : found->second->total.value();
}

std::size_t Marks::missing(std::int64_t name) const noexcept {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? 0 : found->second->missing;
}

void Marks::take_crossed(std::vector<std::int64_t>& into) {
  into.clear();
  into.reserve(crossed_.size());
  for (const Group* const group : crossed_) into.push_back(group->name);
  crossed_.clear();
}

void Marks::take_touched(std::vector<std::uint32_t>& into) {
  into.clear();
  into.reserve(touched_.size());
  for (const std::uint32_t slot : touched_) {
    rows_[slot].touched = false;
    if (rows_[slot].held) into.push_back(slot);
  }
  touched_.clear();
}

}  // namespace dragoman

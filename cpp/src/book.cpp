#include "dragoman/book.hpp"

#include <algorithm>
#include <limits>

namespace dragoman {

namespace {

constexpr double kMaxDouble = std::numeric_limits<double>::max();
// Nearly all updates hit the first few levels, where a scan beats a binary search.
constexpr std::size_t kScan = 8;

bool valid_price(double price) noexcept {
  return price > 0.0 && price <= kMaxDouble;
}
bool valid_quantity(double quantity) noexcept {
  return quantity >= 0.0 && quantity <= kMaxDouble;
}

BookLevel stored(const Level& level, double quantity) noexcept {
  return {level.price, quantity, level.orders, level.price_decimals, level.quantity_decimals};
}

}  // namespace

// --- one side --------------------------------------------------------------------------------------

/// Index of the first level not worse than `price`, size() where all are worse.
///
/// From where the last change was, or from the top: venues send their changes best first and near the top, so
/// a few steps find most of them; the rest by strides that double, then by halves.
std::size_t BookSide::position(double price) noexcept {
  const double wanted = sign_ * price;
  std::size_t end = levels_.size();
  if (hint_ < end && key(levels_[hint_]) >= wanted) end = hint_;
  const std::size_t stop = end > kScan ? end - kScan : 0;
  while (end > stop && key(levels_[end - 1]) >= wanted) --end;
  if (end > stop || end == 0) return hint_ = end;
  std::size_t begin = end;
  for (std::size_t stride = 2 * kScan; begin > 0 && key(levels_[begin - 1]) >= wanted; stride *= 2) {
    end = begin;
    begin = begin > stride ? begin - stride : 0;
  }
  // Without branches that nobody can foretell: the first of [begin, end) not worse.
  const BookLevel* base = levels_.data() + begin;
  for (std::size_t count = end - begin; count > 0;) {
    const std::size_t half = (count + 1) / 2;
    base += key(base[half - 1]) < wanted ? half : 0;
    count -= half;
  }
  return hint_ = static_cast<std::size_t>(base - levels_.data());
}

void BookSide::set(const BookLevel& level) {
  const std::size_t at = position(level.price);
  const bool present = at < levels_.size() && levels_[at].price == level.price;
  const auto place = levels_.begin() + static_cast<std::ptrdiff_t>(at);
  if (level.quantity == 0.0) {
    if (present) levels_.erase(place);
  } else if (present) {
    *place = level;
  } else {
    make_room();  // which moves the array
    levels_.insert(levels_.begin() + static_cast<std::ptrdiff_t>(at), level);
  }
}

void BookSide::remove(double price) noexcept {
  const std::size_t at = position(price);
  if (at < levels_.size() && levels_[at].price == price) {
    levels_.erase(levels_.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

bool BookSide::take_sorted(const Level* begin, const Level* end, Side side) {
  double previous = std::numeric_limits<double>::infinity();
  bool good = true;  // without branches: a level that is out of order is the exception
  for (const Level* level = begin; level != end; ++level) {
    const double now = sign_ * level->price;
    good &= (now < previous) & valid_price(level->price) & (level->quantity > 0.0);
    good &= (level->quantity <= kMaxDouble) & (level->side == side) & (level->action <= Action::update);
    previous = now;
  }
  if (!good) return false;
  const auto count = static_cast<std::size_t>(end - begin);
  levels_.resize(count);
  BookLevel* to = levels_.data() + count;
  for (const Level* level = begin; level != end; ++level) *--to = stored(*level, level->quantity);
  return true;
}

void BookSide::finish() {
  const auto worse = [this](const BookLevel& a, const BookLevel& b) { return key(a) < key(b); };
  const auto not_worse = [this](const BookLevel& a, const BookLevel& b) { return key(a) >= key(b); };
  const auto not_better = [this](const BookLevel& a, const BookLevel& b) { return key(a) <= key(b); };
  const auto begin = levels_.begin();
  const auto end = levels_.end();
  if (std::adjacent_find(begin, end, not_better) ==
      end) {  // strictly from best to worst, as most venues send
    std::reverse(begin, end);
  } else if (std::adjacent_find(begin, end, not_worse) != end) {
    std::stable_sort(begin, end, worse);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < levels_.size(); ++i) {
      if (i + 1 < levels_.size() && levels_[i + 1].price == levels_[i].price) continue;
      levels_[kept++] = levels_[i];
    }
    levels_.resize(kept);
  }
  const auto zero = [](const BookLevel& level) { return level.quantity == 0.0; };
  levels_.erase(std::remove_if(levels_.begin(), levels_.end(), zero), levels_.end());
}

void BookSide::truncate(std::size_t max_levels) noexcept {
  if (levels_.size() > max_levels) {
    levels_.erase(levels_.begin(), levels_.end() - static_cast<std::ptrdiff_t>(max_levels));
  }
}

// --- deltas that wait ------------------------------------------------------------------------------

bool HeldDeltas::push(const Delta& delta, const Level* levels) {
  if (deltas_.size() == kMaxDeltas || delta.level_count > kMaxLevels - levels_.size()) return false;
  deltas_.push_back(delta);
  deltas_.back().level_begin = levels_.size();
  levels_.insert(levels_.end(), levels, levels + delta.level_count);
  return true;
}

void HeldDeltas::drop(std::size_t count) {
  if (count == deltas_.size()) {
    clear();
    return;
  }
  const std::size_t first = deltas_[count].level_begin;
  deltas_.erase(deltas_.begin(), deltas_.begin() + static_cast<std::ptrdiff_t>(count));
  levels_.erase(levels_.begin(), levels_.begin() + static_cast<std::ptrdiff_t>(first));
  for (Delta& delta : deltas_) delta.level_begin -= first;
}

void HeldDeltas::clear() noexcept {
  // Memory goes back too: a book holds for seconds and lives for the day.
  deltas_ = {};
  levels_ = {};
}

// --- both sides ------------------------------------------------------------------------------------

void Book::follow(BookSync sync) noexcept {
  if (sync.rule == sync_.rule && sync.hold == sync_.hold) return;
  sync_ = sync;
  if (state_ != State::empty) mark_stale();
}

Book::Outcome Book::apply(const Record& record, const Level* levels, BookCounters& counters) {
  const State before = state_;
  if ((record.flags & kFlagSnapshot) == 0) {
    const HeldDeltas::Delta delta{record.sequence,   record.prev_sequence, record.ts_event, record.ts_recv, 0,
                                  record.level_count};
    if (!admit_delta(delta, levels, counters)) {
      return state_ == before ? Outcome::untouched : Outcome::changed;
    }
    update(levels, record.level_count, counters);
    note(record.sequence, record.ts_event, record.ts_recv);
    return Outcome::changed;
  }
  if (!admit_snapshot(record, counters)) return Outcome::untouched;
  replace(levels, record.level_count, counters);
  note(record.sequence, record.ts_event, record.ts_recv);
  if (held_ != nullptr) apply_held(counters);
  if (state_ == State::live && broken_since_ != kAbsentInt) {
    broken_ns_ += std::max<std::int64_t>(record.ts_recv - broken_since_, 0);
    broken_since_ = kAbsentInt;
    ++counters.healed;
  }
  return Outcome::changed;
}

void Book::note(std::int64_t sequence, std::int64_t ts_event, std::int64_t ts_recv) noexcept {
  sequence_ = sequence;
  ts_event_ = ts_event;
  ts_recv_ = ts_recv;
  ++updates_;
}

bool Book::edit(const Level& level) {
  if (!valid_price(level.price) || !valid_quantity(level.quantity)) return false;
  BookSide& side = level.side == Side::bid ? bids_ : asks_;
  side.set(stored(level, level.quantity));
  if (state_ == State::empty) state_ = State::live;
  ++updates_;
  return true;
}

void Book::mark_stale() noexcept {
  if (state_ != State::gapped) state_ = State::stale;
  if (held_ != nullptr) held_->clear();  // what comes on a new stream does not continue it
  need_ = Need::none;                    // asked for again when the first delta shows the stream is back
}

bool Book::admit_snapshot(const Record& record, BookCounters& counters) noexcept {
  if (sync_.rule != SequenceRule::none) {
    const bool numbered = record.sequence != kAbsentInt;
    if (numbered && state_ == State::live && record.sequence < guard_.last()) {
      ++counters.duplicates;
      return false;
    }
    if (numbered) {
      guard_.reset(record.sequence);
    } else {
      guard_.adopt();
    }
  }
  state_ = State::live;
  need_ = Need::none;
  return true;
}

/// Whether the message follows; what cannot be shown to follow does not.
SequenceGuard::Verdict Book::judge(std::int64_t sequence, std::int64_t prev_sequence) noexcept {
  const SequenceRule rule = sync_.rule;
  if (rule == SequenceRule::none) return SequenceGuard::Verdict::kFollows;
  const bool names_previous = rule != SequenceRule::plain && prev_sequence != kAbsentInt;
  const bool numbered = sequence != kAbsentInt && (names_previous || rule != SequenceRule::linked);
  if (!numbered) return SequenceGuard::Verdict::kGap;
  return guard_.check(names_previous ? prev_sequence : sequence - 1, sequence);
}

bool Book::admit_delta(const HeldDeltas::Delta& delta, const Level* levels, BookCounters& counters) {
  const bool based = state_ == State::live || (state_ == State::empty && !sync_.hold);
  if (!based) {
    if (sync_.hold) {
      hold(delta, levels, counters);
    } else {
      ++counters.ignored;
    }
    return false;
  }
  switch (judge(delta.sequence, delta.prev_sequence)) {
    case SequenceGuard::Verdict::kFollows:
      state_ = State::live;
      return true;
    case SequenceGuard::Verdict::kDuplicate:
      ++counters.duplicates;
      return false;
    case SequenceGuard::Verdict::kGap:
      break;
  }
  ++counters.gaps;
  ++gaps_;
  state_ = State::gapped;
  break_at(delta.ts_recv);
  if (sync_.hold) hold(delta, levels, counters);  // a snapshot may lie right before it
  return false;
}

void Book::break_at(std::int64_t ts_recv) noexcept {
  if (broken_since_ == kAbsentInt) broken_since_ = ts_recv;
}

void Book::hold(const HeldDeltas::Delta& delta, const Level* levels, BookCounters& counters) {
  if (held_ == nullptr) held_ = std::make_unique<HeldDeltas>();
  if (state_ != State::empty) break_at(delta.ts_recv);
  if (need_ == Need::none) need_ = Need::wanted;
  if (!held_->push(delta, levels)) {
    counters.overflowed += held_->deltas().size();
    held_->clear();  // the next snapshot is later than all of them, or is asked for again
    if (!held_->push(delta, levels)) {
      ++counters.overflowed;
      return;
    }
  }
  ++counters.held;
}

void Book::apply_held(BookCounters& counters) {
  const auto& deltas = held_->deltas();
  std::size_t done = 0;
  for (; done < deltas.size(); ++done) {
    const HeldDeltas::Delta& delta = deltas[done];
    const auto verdict = judge(delta.sequence, delta.prev_sequence);
    if (verdict == SequenceGuard::Verdict::kGap) break;
    if (verdict == SequenceGuard::Verdict::kDuplicate) {
      ++counters.duplicates;
      continue;
    }
    update(held_->levels() + delta.level_begin, delta.level_count, counters);
    note(delta.sequence, delta.ts_event, delta.ts_recv);
  }
  if (done < deltas.size()) {
    // The snapshot is older than what came after the gap: keep that, and ask again.
    ++counters.gaps;
    ++gaps_;
    state_ = State::gapped;
    break_at(deltas[done].ts_recv);
    need_ = Need::wanted;
  }
  held_->drop(done);
}

void Book::replace(const Level* levels, std::size_t count, BookCounters& counters) {
  const Level* const end = levels + count;
  const auto of_asks = [](const Level& level) { return level.side == Side::ask; };
  const Level* const asks = std::find_if(levels, end, of_asks);
  if (bids_.take_sorted(levels, asks, Side::bid) && asks_.take_sorted(asks, end, Side::ask)) return;
  bids_.clear();
  asks_.clear();
  for (const Level* level = levels; level != levels + count; ++level) {
    BookSide& side = level->side == Side::bid ? bids_ : asks_;
    if (level->action == Action::clear) {
      side.clear();
      continue;
    }
    const bool removes = level->action == Action::remove;
    if (!valid_price(level->price) || !(removes || valid_quantity(level->quantity))) {
      ++counters.rejected_levels;
      continue;
    }
    side.append(stored(*level, removes ? 0.0 : level->quantity));
  }
  bids_.finish();
  asks_.finish();
}

void Book::update(const Level* levels, std::size_t count, BookCounters& counters) {
  for (const Level* level = levels; level != levels + count; ++level) {
    BookSide& side = level->side == Side::bid ? bids_ : asks_;
    switch (level->action) {
      case Action::clear:
        side.clear();
        break;
      case Action::remove:
        if (valid_price(level->price)) {
          side.remove(level->price);
        } else {
          ++counters.rejected_levels;
        }
        break;
      case Action::add:
      case Action::update:
        if (valid_price(level->price) && valid_quantity(level->quantity)) {
          side.set(stored(*level, level->quantity));
        } else {
          ++counters.rejected_levels;
        }
        break;
    }
  }
}

// --- what it says ----------------------------------------------------------------------------------

std::optional<double> Book::mid() const noexcept {
  if (!two_sided()) return std::nullopt;
  return bid() + (ask() - bid()) / 2.0;  // halving the difference cannot overflow
}

std::optional<double> Book::microprice() const noexcept {
  if (!two_sided()) return std::nullopt;
  const BookLevel& best_bid = bids_.level(0);
  const BookLevel& best_ask = asks_.level(0);
  return (best_bid.price * best_ask.quantity + best_ask.price * best_bid.quantity) /
         (best_bid.quantity + best_ask.quantity);
}

std::optional<double> Book::spread() const noexcept {
  if (!two_sided()) return std::nullopt;
  return ask() - bid();
}

std::optional<double> Book::vwap(Side which, double quantity) const noexcept {
  const BookSide& levels = side(which);
  double left = quantity;
  double cost = 0.0;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const BookLevel& level = levels.level(i);
    const double taken = std::min(left, level.quantity);
    cost += taken * level.price;
    left -= taken;
    if (left <= 0.0) return cost / quantity;
  }
  return std::nullopt;
}

std::optional<double> Book::imbalance(std::size_t levels) const noexcept {
  const auto total = [levels](const BookSide& side) {
    double sum = 0.0;
    const std::size_t count = std::min(levels, side.size());
    for (std::size_t i = 0; i < count; ++i) sum += side.level(i).quantity;
    return sum;
  };
  const double bid_total = total(bids_);
  const double ask_total = total(asks_);
  if (bid_total + ask_total == 0.0) return std::nullopt;
  return (bid_total - ask_total) / (bid_total + ask_total);
}

}  // namespace dragoman

#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <unordered_map>
#include <vector>

#include "dragoman/batch.hpp"
#include "dragoman/usable_price.hpp"

namespace dragoman {

/// A sum of float64 numbers of which single ones come and go, kept in twice the digits.
///
/// Each step errs by at most 2^-104 of the sum before or after it, whichever is larger: a thousand million
/// replaced rows leave an error of some 1e-22 of the largest sum there was, so it never has to be summed
/// anew.
class RunningSum {
 public:
  void add(double value) noexcept {
    const double sum = high_ + value;
    const double part = sum - high_;
    const double error = (high_ - (sum - part)) + (value - part) + low_;
    high_ = sum + error;
    low_ = error - (high_ - sum);
  }
  void clear() noexcept { high_ = low_ = 0.0; }
  [[nodiscard]] double value() const noexcept { return high_; }

 private:
  double high_ = 0.0;
  double low_ = 0.0;
};

/// Positions marked to ticks: a batch moves the unrealised P&L of the positions it prices and of their
/// groups.
///
/// Rows stand under the caller's own small numbers (slots); those of one instrument are linked, so a tick
/// finds its instrument by index and walks over its rows only. A tick at the price held costs no walk.
///
/// Threads: unsynchronised; belongs to the I/O thread. `apply` and `mark` allocate nothing.
class Marks {
 public:
  static constexpr std::uint32_t kMaxSlots = 1u << 20;
  static constexpr std::int64_t kNoTime = kAbsentInt;

  struct Position {
    std::int32_t instrument;  ///< in [0, kMaxWatched)
    std::int64_t group;
    double quantity;    ///< short ones are negative
    double average;     ///< NaN where no basis is known: the row then has no P&L
    double multiplier;  ///< money per price and quantity
    double close;       ///< what day's P&L counts from; NaN where unknown
  };

  Marks(PriceSource source, std::int64_t max_age_ns) noexcept : source_(source), max_age_ns_(max_age_ns) {}

  /// Put a position into a slot below kMaxSlots, in place of what was there; an instrument keeps its mark.
  void set(std::uint32_t slot, const Position& position);
  /// Take a slot's position out; false where there is none.
  bool remove(std::uint32_t slot) noexcept;

  /// Mark every position of a batch's instruments; return how many have another mark than before.
  std::size_t apply(const BatchView& batch) noexcept;
  /// Mark an instrument to a price that was polled at `ts`; false where the price is not usable or older than
  /// the one held, which is counted. An instrument nobody holds is remembered all the same.
  bool mark(std::int32_t instrument, double price, std::int64_t ts);

  /// NaN without a mark.
  [[nodiscard]] double price(std::int32_t instrument) const noexcept;
  /// When the mark came (ns UTC), kNoTime without one.
  [[nodiscard]] std::int64_t time(std::int32_t instrument) const noexcept;
  /// Whether there is no mark, or none that came within `max_age_ns` (0: any) before `now_ns`.
  [[nodiscard]] bool stale(std::int32_t instrument, std::int64_t now_ns) const noexcept;

  [[nodiscard]] bool holds(std::uint32_t slot) const noexcept {
    return slot < rows_.size() && rows_[slot].held;
  }
  /// Of a slot that is held; NaN while its instrument has no mark, or what it is counted from is unknown.
  [[nodiscard]] double unrealised(std::uint32_t slot) const noexcept;
  [[nodiscard]] double day(std::uint32_t slot) const noexcept;
  [[nodiscard]] double value(std::uint32_t slot) const noexcept;
  [[nodiscard]] std::int32_t instrument(std::uint32_t slot) const noexcept {
    return instruments_[rows_[slot].place].instrument;
  }

  /// Sum of the unrealised P&L of a group's rows that have one; 0 without any.
  [[nodiscard]] double total(std::int64_t group) const noexcept;
  /// Rows of a group that have none, which the total leaves out.
  [[nodiscard]] std::size_t missing(std::int64_t group) const noexcept;

  /// Say once when a group's total is at or below a number; watching it again arms it anew. The total counts
  /// as it is after a batch, never half way.
  void watch(std::int64_t group, double below);
  bool unwatch(std::int64_t group) noexcept;
  [[nodiscard]] bool has_crossed() const noexcept { return !crossed_.empty(); }
  /// The groups that crossed since this was last asked, in the order they did; `into` is cleared first.
  void take_crossed(std::vector<std::int64_t>& into);
  /// The slots that changed since this was last asked, in the order of their first change.
  void take_touched(std::vector<std::uint32_t>& into);

  [[nodiscard]] std::size_t size() const noexcept { return held_; }
  [[nodiscard]] const PriceCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] PriceSource source() const noexcept { return source_; }
  [[nodiscard]] std::int64_t max_age_ns() const noexcept { return max_age_ns_; }

 private:
  static constexpr std::uint32_t kNone = HandleIndex::kNone;

  struct Group {
    RunningSum total;
    double below = 0.0;
    std::int64_t name = 0;
    std::uint32_t rows = 0;
    std::uint32_t missing = 0;
    bool watched = false;  ///< and not crossed yet
    bool moved = false;    ///< stands in `moved_`
  };

  struct Instrument {
    double price = kNoPrice;
    PriceClock clock;
    std::uint32_t first = kNone;  ///< row
    std::int32_t instrument = kUnbound;
  };

  struct Row {
    double quantity = 0.0;
    double average = 0.0;
    double multiplier = 1.0;
    double close = 0.0;
    double unrealised = kNoPrice;  ///< what the group's total contains of it; NaN: nothing
    Group* group = nullptr;
    std::uint64_t batch = 0;  ///< the last that counted it
    std::uint32_t place = kNone;
    std::uint32_t next = kNone;
    std::uint32_t previous = kNone;
    bool held = false;
    bool touched = false;  ///< stands in `touched_`
  };

  Instrument& at(std::int32_t instrument);
  Group& group_of(std::int64_t name);
  std::size_t mark_rows(Instrument& instrument, double price) noexcept;
  void revalue(Row& row, double price) noexcept;
  void note(Row& row, std::uint32_t slot) noexcept;
  void unlink(std::uint32_t slot) noexcept;
  void settle() noexcept;

  PriceSource source_;
  std::int64_t max_age_ns_;
  std::uint64_t batches_ = 0;
  std::size_t held_ = 0;
  HandleIndex index_;
  std::vector<Instrument> instruments_;
  std::vector<Row> rows_;
  std::deque<Group> groups_;  // never dropped: rows point at them
  std::unordered_map<std::int64_t, Group*> by_name_;
  std::vector<std::uint32_t> touched_;  // room for every slot
  std::vector<Group*> moved_;           // room for every group, as `crossed_`
  std::vector<Group*> crossed_;
  PriceCounters counters_;
};

}  // namespace dragoman

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dragoman/record.hpp"
#include "dragoman/sequence_guard.hpp"

namespace dragoman {

/// How a venue numbers depth messages; see SequenceGuard.
enum class SequenceRule : std::uint8_t { none, plain, ranged, linked };

/// How a book proves that it is whole: how its messages are numbered, and where a snapshot comes from.
struct BookSync {
  SequenceRule rule = SequenceRule::none;
  /// The snapshot is fetched, not streamed: deltas are held until it comes and applied behind it.
  bool hold = false;
};

/// What a book stores for one price. Decimals are kept for venues that checksum the text.
struct BookLevel {
  double price;
  double quantity;
  std::uint32_t orders;
  std::uint8_t price_decimals;
  std::uint8_t quantity_decimals;
};
static_assert(sizeof(BookLevel) == 24);

/// Counted over all books of a connection.
struct BookCounters {
  std::uint64_t gaps = 0;  ///< breaks in the numbering; the book waits for a snapshot
  std::uint64_t duplicates =
      0;  ///< records dropped as already applied, snapshots older than the book included
  std::uint64_t rejected_levels = 0;  ///< price not finite and positive, or quantity not finite and >= 0
  std::uint64_t ignored = 0;          ///< deltas without a base to apply them to: the book is stale
  std::uint64_t held = 0;             ///< deltas kept until a snapshot came
  std::uint64_t overflowed = 0;       ///< held deltas let go because too many had gathered
  std::uint64_t healed = 0;           ///< books that a snapshot made live again
  std::uint64_t unbound = 0;          ///< depth records of no known instrument
};

/// One side of a book: a flat array sorted from worst to best, so that what happens near the top of
/// the book moves few bytes. Prices compare by float64 equality, which is right because each is the
/// double nearest to the decimal on the wire.
class BookSide {
 public:
  explicit BookSide(Side side) noexcept : sign_(side == Side::bid ? 1.0 : -1.0) {}

  [[nodiscard]] std::size_t size() const noexcept { return levels_.size(); }
  [[nodiscard]] bool empty() const noexcept { return levels_.empty(); }
  /// @param index  0 is the best level; must be < size()
  [[nodiscard]] const BookLevel& level(std::size_t index) const noexcept {
    return levels_[levels_.size() - 1 - index];
  }

  void clear() noexcept { levels_.clear(); }
  /// Put or replace the level of this price; quantity 0 removes it. O(distance from the top) in practice.
  void set(const BookLevel& level);
  void remove(double price) noexcept;
  /// Add a level of a snapshot in whatever order it comes; the side is unsorted until finish().
  void append(const BookLevel& level) {
    make_room();
    levels_.push_back(level);
  }
  /// Become the levels [begin, end), where all are of this side, valid, and come strictly from best to worst,
  /// as most venues send a snapshot; otherwise change nothing and return false.
  [[nodiscard]] bool take_sorted(const Level* begin, const Level* end, Side side);
  /// Restore order after append(): the last of equal prices wins, quantity 0 goes. O(n) where the
  /// levels came sorted either way.
  void finish();
  /// Cut levels off the worst end.
  void truncate(std::size_t max_levels) noexcept;
  /// Ask for the memory of the best levels ahead of their use.
  void prefetch() const noexcept {
    const auto end = reinterpret_cast<std::uintptr_t>(levels_.data() + levels_.size());
    for (std::size_t back = 1; back <= kPrefetched; back += kLine) {
      __builtin_prefetch(reinterpret_cast<const void*>(end - back), 1);
    }
  }

 private:
  /// Grow by an eighth, not by doubling: a book of many levels should not weigh twice what it holds.
  void make_room() {
    if (levels_.size() == levels_.capacity()) [[unlikely]] {
      levels_.reserve(levels_.size() + levels_.size() / 8 + 8);
    }
  }
  [[nodiscard]] std::size_t position(double price) noexcept;
  [[nodiscard]] double key(const BookLevel& level) const noexcept { return sign_ * level.price; }

  static constexpr std::size_t kLine = 64;
  static constexpr std::size_t kPrefetched =
      5 * sizeof(BookLevel) + kLine;  // depth as most snapshots have it

  std::size_t hint_ = 0;  // where the last change was; any value is safe
  double sign_;           // turns "better" into "greater" on both sides
  std::vector<BookLevel> levels_;
};

/// Deltas that wait for a snapshot, in order of arrival. Bounded: a sender must not fill the memory.
class HeldDeltas {
 public:
  struct Delta {
    std::int64_t sequence;
    std::int64_t prev_sequence;
    std::int64_t ts_event;
    std::int64_t ts_recv;
    std::size_t level_begin;
    std::size_t level_count;
  };

  static constexpr std::size_t kMaxDeltas = 8192;
  static constexpr std::size_t kMaxLevels = 1u << 18;

  /// Keep a copy; false where there is no room.
  bool push(const Delta& delta, const Level* levels);
  [[nodiscard]] const std::vector<Delta>& deltas() const noexcept { return deltas_; }
  [[nodiscard]] const Level* levels() const noexcept { return levels_.data(); }
  /// Let the first `count` go.
  void drop(std::size_t count);
  void clear() noexcept;

 private:
  std::vector<Delta> deltas_;
  std::vector<Level> levels_;
};

/// Live depth of one instrument, consistent between batches.
///
/// A book is `empty` until its first record, `live` while it is what the venue says, `stale` when its
/// stream is gone, `gapped` when a message is missing. Levels of a stale or gapped book are kept and
/// only a snapshot makes it live again; until then deltas are ignored and counted, or, where its BookSync
/// says so, held and applied behind the snapshot, which must meet them: one that is too old leaves the book
/// gapped.
///
/// Threads: unsynchronised; belongs to the I/O thread. Allocates only where a side outgrows its array.
class Book {
 public:
  enum class State : std::uint8_t { empty, live, stale, gapped };
  enum class Outcome : std::uint8_t { untouched, changed };

  explicit Book(std::int32_t instrument, BookSync sync = {}) noexcept
      : sync_(sync), instrument_(instrument) {}

  /// Change how the book is kept whole; what it knew is no longer proven.
  void follow(BookSync sync) noexcept;
  [[nodiscard]] const BookSync& sync() const noexcept { return sync_; }

  /// Apply the depth of one record.
  /// @param levels  the record's own levels, record.level_count of them
  Outcome apply(const Record& record, const Level* levels, BookCounters& counters);
  /// Put one level by hand (quantity 0 removes it); false for a price or quantity that no book holds. A book
  /// that was empty is live from then on; one that is broken stays so.
  bool edit(const Level& level);
  void mark_stale() noexcept;
  void truncate(std::size_t max_levels) noexcept {
    bids_.truncate(max_levels);
    asks_.truncate(max_levels);
  }

  [[nodiscard]] std::int32_t instrument() const noexcept { return instrument_; }
  [[nodiscard]] const BookSide& side(Side side) const noexcept { return side == Side::bid ? bids_ : asks_; }
  [[nodiscard]] bool stale() const noexcept { return state_ != State::live; }
  [[nodiscard]] bool gapped() const noexcept { return state_ == State::gapped; }
  [[nodiscard]] bool two_sided() const noexcept { return !bids_.empty() && !asks_.empty(); }
  /// Best bid above best ask.
  [[nodiscard]] bool crossed() const noexcept { return two_sided() && bid() > ask(); }
  /// Best bid equal to best ask.
  [[nodiscard]] bool locked() const noexcept { return two_sided() && bid() == ask(); }
  [[nodiscard]] std::optional<double> mid() const noexcept;
  /// (bid * ask_quantity + ask * bid_quantity) / (bid_quantity + ask_quantity) of the top of book.
  [[nodiscard]] std::optional<double> microprice() const noexcept;
  [[nodiscard]] std::optional<double> spread() const noexcept;
  /// Average price to take `quantity` (> 0) from a side; nothing where it does not hold as much.
  [[nodiscard]] std::optional<double> vwap(Side side, double quantity) const noexcept;
  /// (bid - ask) / (bid + ask) quantity of the first `levels`, in [-1, 1]; nothing for an empty book.
  [[nodiscard]] std::optional<double> imbalance(std::size_t levels) const noexcept;

  [[nodiscard]] std::int64_t sequence() const noexcept { return sequence_; }  ///< kAbsentInt if not numbered
  [[nodiscard]] std::int64_t ts_event() const noexcept { return ts_event_; }  ///< ns UTC or kAbsentInt
  [[nodiscard]] std::int64_t ts_recv() const noexcept { return ts_recv_; }    ///< ns UTC, 0 before any record
  [[nodiscard]] std::uint64_t updates() const noexcept { return updates_; }
  [[nodiscard]] std::uint64_t gaps() const noexcept { return gaps_; }  ///< breaks in its numbering so far
  /// ts_recv since which it has not been whole, kAbsentInt while it is.
  [[nodiscard]] std::int64_t broken_since() const noexcept { return broken_since_; }
  [[nodiscard]] std::int64_t broken_ns() const noexcept {
    return broken_ns_;
  }  ///< time not whole, ended spans only

 private:
  friend class Books;

  /// Whether a snapshot must be fetched: `wanted` until somebody is told, `asked` until it comes.
  enum class Need : std::uint8_t { none, wanted, asked };

  [[nodiscard]] double bid() const noexcept { return bids_.level(0).price; }
  [[nodiscard]] double ask() const noexcept { return asks_.level(0).price; }
  [[nodiscard]] bool admit_snapshot(const Record& record, BookCounters& counters) noexcept;
  [[nodiscard]] SequenceGuard::Verdict judge(std::int64_t sequence, std::int64_t prev_sequence) noexcept;
  [[nodiscard]] bool admit_delta(const HeldDeltas::Delta& delta, const Level* levels, BookCounters& counters);
  void hold(const HeldDeltas::Delta& delta, const Level* levels, BookCounters& counters);
  void break_at(std::int64_t ts_recv) noexcept;
  void apply_held(BookCounters& counters);
  void note(std::int64_t sequence, std::int64_t ts_event, std::int64_t ts_recv) noexcept;
  void replace(const Level* levels, std::size_t count, BookCounters& counters);
  void update(const Level* levels, std::size_t count, BookCounters& counters);

  BookSide bids_{Side::bid};
  BookSide asks_{Side::ask};
  std::int64_t sequence_ = kAbsentInt;
  std::int64_t ts_event_ = kAbsentInt;
  std::int64_t ts_recv_ = 0;
  std::uint64_t updates_ = 0;
  std::uint64_t batch_ = 0;  // number of the batch that last changed it; Books counts with it
  SequenceGuard guard_;
  std::uint64_t gaps_ = 0;
  std::int64_t broken_since_ = kAbsentInt;
  std::int64_t broken_ns_ = 0;
  std::unique_ptr<HeldDeltas> held_;  // made on first need: few books ever hold
  BookSync sync_;
  std::int32_t instrument_;
  State state_ = State::empty;
  Need need_ = Need::none;
  bool listed_ = false;  // on the list of Books
};

}  // namespace dragoman

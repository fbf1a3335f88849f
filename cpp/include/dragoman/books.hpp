#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "dragoman/batch.hpp"
#include "dragoman/book.hpp"

namespace dragoman {

/// All books of one connection, found by instrument handle.
///
/// Books are made on first use, never moved and never dropped before the whole, so a `Book&` is good
/// for as long as its `Books`. Handles are dense, so the index is an array: 8 bytes per handle up to
/// the highest one used.
///
/// A batch may be put off while somebody waits for what it says besides depth: between `put_off` and `settle`
/// books say what they said before, so whoever is about to look at one settles first.
///
/// Threads: unsynchronised; belongs to the I/O thread.
class Books {
 public:
  /// Handles from here on are taken for damage and counted as unbound: the index must not grow at
  /// the word of a bad number.
  static constexpr std::int32_t kMaxInstruments = 1 << 22;

  /// @param max_levels  levels kept a side, further ones are cut off the worst end after each batch; 0: all
  /// @param sync        for books that `follow` does not name
  Books(std::size_t max_levels, BookSync sync) noexcept
      : max_levels_(max_levels), sync_(sync), breakable_(can_break(sync)) {}

  /// Apply every depth record of a batch; return how many books changed, those that became gapped
  /// included. If memory runs out half way, all books are marked stale before bad_alloc goes on.
  std::size_t apply(const BatchView& batch);

  /// Whether a message can break a book, so that somebody must be told at once: no batch is to be put off
  /// then.
  [[nodiscard]] bool breakable() const noexcept { return breakable_; }
  /// Leave a batch for `settle`, which must come before the batch ends or changes. Its levels may be unread.
  void put_off(Block& batch) noexcept {
    settle();
    later_ = &batch;
  }
  /// Apply what was put off, if anything. If memory runs out, all books are stale and `ran_out` says so.
  void settle() noexcept {
    if (later_ != nullptr) [[unlikely]] {
      apply_later();
    }
  }
  /// Whether memory ran out in `settle` since this was last asked.
  [[nodiscard]] bool ran_out() noexcept { return std::exchange(ran_out_, false); }

  /// Say how one instrument's book is kept whole. @param instrument  in [0, kMaxInstruments)
  void follow(std::int32_t instrument, BookSync sync) {
    breakable_ |= can_break(sync);
    at(instrument).follow(sync);
  }

  /// Apply a snapshot that was fetched, then the deltas held for it; return whether the book is live now.
  /// @param sequence  number of the last message it contains, kAbsentInt where unknown
  bool snapshot(std::int32_t instrument, const std::vector<Level>& levels, std::int64_t sequence,
                std::int64_t ts_event, std::int64_t ts_recv);

  /// Return the instruments whose snapshot must be fetched, each once for each need.
  std::vector<std::int32_t> take_wanting();
  [[nodiscard]] bool wanting() const noexcept { return !wanting_.empty(); }

  /// The book of an instrument, made if there is none.
  /// @param instrument  in [0, kMaxInstruments)
  Book& at(std::int32_t instrument);
  [[nodiscard]] Book* find(std::int32_t instrument) const noexcept;
  void mark_all_stale() noexcept;

  [[nodiscard]] const std::deque<Book>& all() const noexcept { return books_; }
  [[nodiscard]] const BookCounters& counters() const noexcept { return counters_; }

 private:
  static bool can_break(BookSync sync) noexcept { return sync.rule != SequenceRule::none || sync.hold; }
  std::size_t apply_records(const BatchView& batch);
  void apply_later() noexcept;
  void list_if_wanting(Book& book);
  void prefetch(const Record* record, const Record* end) const noexcept;

  std::size_t max_levels_;
  BookSync sync_;
  bool breakable_;
  bool ran_out_ = false;
  Block* later_ = nullptr;
  std::uint64_t batches_ = 0;
  std::deque<Book> books_;
  std::vector<Book*> by_instrument_;
  std::vector<Book*> changed_;
  std::vector<Book*> wanting_;
  BookCounters counters_;
};

}  // namespace dragoman

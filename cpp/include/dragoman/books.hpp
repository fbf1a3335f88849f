#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
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
/// Threads: unsynchronised; belongs to the I/O thread.
class Books {
 public:
  /// Handles from here on are taken for damage and counted as unbound: the index must not grow at
  /// the word of a bad number.
  static constexpr std::int32_t kMaxInstruments = 1 << 22;

  /// @param max_levels  levels kept a side, further ones are cut off the worst end after each batch; 0: all
  /// @param sync        for books that `follow` does not name
  Books(std::size_t max_levels, BookSync sync) noexcept : max_levels_(max_levels), sync_(sync) {}

  /// Apply every depth record of a batch; return how many books changed, those that became gapped
  /// included. If memory runs out half way, all books are marked stale before bad_alloc goes on.
  std::size_t apply(const BatchView& batch);

  /// Say how one instrument's book is kept whole. @param instrument  in [0, kMaxInstruments)
  void follow(std::int32_t instrument, BookSync sync) { at(instrument).follow(sync); }

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
  std::size_t apply_records(const BatchView& batch);
  void list_if_wanting(Book& book);
  void prefetch(const Record* record, const Record* end) const noexcept;

  std::size_t max_levels_;
  BookSync sync_;
  std::uint64_t batches_ = 0;
  std::deque<Book> books_;
  std::vector<Book*> by_instrument_;
  std::vector<Book*> changed_;
  std::vector<Book*> wanting_;
  BookCounters counters_;
};

}  // namespace dragoman

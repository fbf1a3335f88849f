#include "dragoman/books.hpp"

#include <new>

namespace dragoman {

std::size_t Books::apply(const BatchView& batch) {
  settle();
  try {
    return apply_records(batch);
  } catch (...) {
    mark_all_stale();
    throw;
  }
}

void Books::apply_later() noexcept {
  Block& batch = *std::exchange(later_, nullptr);
  batch.read_levels();
  try {
    apply_records(batch.view);
  } catch (const std::bad_alloc&) {
    mark_all_stale();
    ran_out_ = true;
  }
}

std::size_t Books::apply_records(const BatchView& batch) {
  ++batches_;
  changed_.clear();
  for (const Record* record = batch.records; record != batch.records + batch.record_count; ++record) {
    prefetch(record, batch.records + batch.record_count);
    if ((record->flags & kFlagDepth) == 0) continue;
    if (record->instrument < 0 || record->instrument >= kMaxInstruments) {
      ++counters_.unbound;
      continue;
    }
    Book& book = at(record->instrument);
    const Level* levels = batch.levels + record->level_begin;
    const Book::Outcome outcome = book.apply(*record, levels, counters_);
    if (book.need_ == Book::Need::wanted) [[unlikely]] {
      list_if_wanting(book);
    }
    if (outcome == Book::Outcome::untouched) continue;
    if (book.batch_ != batches_) {
      book.batch_ = batches_;
      changed_.push_back(&book);
    }
  }
  if (max_levels_ != 0) {
    for (Book* book : changed_) book->truncate(max_levels_);
  }
  return changed_.size();
}

void Books::list_if_wanting(Book& book) {
  if (book.need_ == Book::Need::wanted && !book.listed_) {
    wanting_.push_back(&book);
    book.listed_ = true;
  }
}

std::vector<std::int32_t> Books::take_wanting() {
  std::vector<std::int32_t> taken;
  taken.reserve(wanting_.size());
  for (Book* const book : wanting_) {
    if (book->need_ == Book::Need::wanted) {
      taken.push_back(book->instrument());
      book->need_ = Book::Need::asked;
    }
    book->listed_ = false;
  }
  wanting_.clear();
  return taken;
}

bool Books::snapshot(std::int32_t instrument, const std::vector<Level>& levels, std::int64_t sequence,
                     std::int64_t ts_event, std::int64_t ts_recv) {
  Record record{};
  record.ts_recv = ts_recv;
  record.ts_event = ts_event;
  record.sequence = sequence;
  record.prev_sequence = kAbsentInt;
  record.instrument = instrument;
  record.kind = Kind::depth_snapshot;
  record.flags = kFlagDepth | kFlagSnapshot;
  record.level_count = static_cast<std::uint32_t>(levels.size());
  Book& book = at(instrument);
  book.apply(record, levels.data(), counters_);
  if (max_levels_ != 0) book.truncate(max_levels_);
  list_if_wanting(book);
  return !book.stale();
}

/// Ask for the books of records to come, and for the levels of those that should be here by now. Frames come
/// seldom enough that none of it is left in the caches, and books lie scattered, so each would be waited for.
void Books::prefetch(const Record* record, const Record* end) const noexcept {
  constexpr std::ptrdiff_t kBooks = 6;
  constexpr std::ptrdiff_t kLevels = 3;
  if (end - record > kBooks) {
    if (const Book* const book = find(record[kBooks].instrument)) {
      const auto* const bytes = reinterpret_cast<const char*>(book);
      for (std::size_t at = 0; at < sizeof(Book); at += 64) __builtin_prefetch(bytes + at, 1);
    }
  }
  if (end - record > kLevels) {
    if (const Book* const book = find(record[kLevels].instrument)) {
      book->bids_.prefetch();
      book->asks_.prefetch();
    }
  }
}

Book* Books::find(std::int32_t instrument) const noexcept {
  const auto index = static_cast<std::size_t>(instrument);
  return instrument >= 0 && index < by_instrument_.size() ? by_instrument_[index] : nullptr;
}

Book& Books::at(std::int32_t instrument) {
  if (Book* book = find(instrument)) return *book;
  const auto index = static_cast<std::size_t>(instrument);
  if (index >= by_instrument_.size()) by_instrument_.resize(index + 1, nullptr);
  books_.emplace_back(instrument, sync_);
  by_instrument_[index] = &books_.back();
  return books_.back();
}

void Books::mark_all_stale() noexcept {
  for (Book& book : books_) book.mark_stale();
}

}  // namespace dragoman

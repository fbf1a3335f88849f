#include <limits>
#include <map>
#include <random>
#include <vector>

#include "check.hpp"
#include "dragoman/books.hpp"

// What the packed decoder cannot send is tested here: explicit removals, clears, and numbers it would have
// rejected before a book sees them. tests/property/test_book.py has the laws.

namespace {

using namespace dragoman;

struct Frame {
  std::vector<Record> records;
  std::vector<Level> levels;

  void add(std::int32_t instrument, bool snapshot, const std::vector<Level>& own) {
    Record record{};
    record.instrument = instrument;
    record.flags = static_cast<std::uint16_t>(kFlagDepth | (snapshot ? kFlagSnapshot : 0));
    record.sequence = record.prev_sequence = record.ts_event = kAbsentInt;
    record.level_begin = static_cast<std::uint32_t>(levels.size());
    record.level_count = static_cast<std::uint32_t>(own.size());
    records.push_back(record);
    levels.insert(levels.end(), own.begin(), own.end());
  }

  [[nodiscard]] BatchView view() const {
    return {records.data(), records.size(), levels.data(), levels.size(), 0, 0};
  }
};

Level level(Side side, Action action, double price, double quantity) {
  return {price, quantity, 1, side, action, 2, 0};
}

std::size_t apply(Books& books, bool snapshot, const std::vector<Level>& levels,
                  std::int32_t instrument = 0) {
  Frame frame;
  frame.add(instrument, snapshot, levels);
  return books.apply(frame.view());
}

using Sides = std::map<double, double>;

bool same(const BookSide& side, const Sides& wanted, bool falling) {
  if (side.size() != wanted.size()) return false;
  std::size_t i = falling ? wanted.size() : 0;
  for (const auto& [price, quantity] : wanted) {
    const BookLevel& found = side.level(falling ? --i : i++);
    if (found.price != price || found.quantity != quantity) return false;
  }
  return true;
}

void test_random_operations_agree_with_a_map() {
  std::mt19937 random(20260714);
  for (int round = 0; round < 300; ++round) {
    Books books(0, BookSync{});
    Sides bids;
    Sides asks;
    for (int batch = 0; batch < 20; ++batch) {
      const bool snapshot = random() % 5 == 0;
      if (snapshot) {
        bids.clear();
        asks.clear();
      }
      std::vector<Level> levels;
      const auto count = random() % 40;
      for (unsigned i = 0; i < count; ++i) {
        const Side side = random() % 2 != 0 ? Side::ask : Side::bid;
        const auto draw = random() % 64;
        const auto action = draw == 0   ? Action::clear
                            : draw < 16 ? Action::remove
                            : draw < 40 ? Action::update
                                        : Action::add;
        const double price = static_cast<double>(1 + random() % 60) / 20.0;
        const double quantity = static_cast<double>(random() % 4);
        levels.push_back(level(side, action, price, quantity));
        Sides& map = side == Side::bid ? bids : asks;
        if (action == Action::clear) {
          map.clear();
        } else if (action == Action::remove || quantity == 0.0) {
          map.erase(price);
        } else {
          map[price] = quantity;
        }
      }
      CHECK(apply(books, snapshot, levels) == 1);
      const Book& book = books.at(0);
      CHECK(same(book.side(Side::bid), bids, true));
      CHECK(same(book.side(Side::ask), asks, false));
    }
  }
}

void test_numbers_no_book_may_hold_are_rejected_and_counted() {
  Books books(0, BookSync{});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<Level> bad = {
      level(Side::bid, Action::add, nan, 1),    level(Side::bid, Action::update, inf, 1),
      level(Side::ask, Action::remove, nan, 1), level(Side::ask, Action::add, -1, 1),
      level(Side::bid, Action::add, 0, 1),      level(Side::bid, Action::add, 1, nan),
      level(Side::bid, Action::add, 1, -1),     level(Side::ask, Action::add, 1, inf),
  };
  apply(books, true, bad);
  CHECK(books.counters().rejected_levels == 8);
  apply(books, false, bad);
  CHECK(books.counters().rejected_levels == 16);
  CHECK(books.at(0).side(Side::bid).empty() && books.at(0).side(Side::ask).empty());
}

void test_a_removal_needs_no_quantity() {
  Books books(0, BookSync{});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  apply(books, true, {level(Side::bid, Action::add, 5, 1), level(Side::bid, Action::add, 4, 1)});
  apply(books, false, {level(Side::bid, Action::remove, 5, nan), level(Side::bid, Action::remove, 3, nan)});
  CHECK(books.at(0).side(Side::bid).size() == 1);
  CHECK(books.at(0).side(Side::bid).level(0).price == 4);
  CHECK(books.counters().rejected_levels == 0);
}

void test_decimals_and_orders_are_kept() {
  Books books(0, BookSync{});
  apply(books, true, {{1.5, 2.0, 7, Side::ask, Action::add, 3, 4}});
  const BookLevel& best = books.at(0).side(Side::ask).level(0);
  CHECK(best.orders == 7 && best.price_decimals == 3 && best.quantity_decimals == 4);
}

void test_handles_out_of_range_cost_no_memory() {
  Books books(0, BookSync{});
  const std::vector<Level> levels = {level(Side::bid, Action::add, 5, 1)};
  CHECK(apply(books, true, levels, -1) == 0);
  CHECK(apply(books, true, levels, Books::kMaxInstruments) == 0);
  CHECK(apply(books, true, levels, std::numeric_limits<std::int32_t>::max()) == 0);
  CHECK(books.counters().unbound == 3 && books.all().empty());
  CHECK(apply(books, true, levels, 70'000) == 1);
  CHECK(books.find(70'000) == &books.at(70'000) && books.find(69'999) == nullptr);
}

void test_records_without_depth_are_not_looked_at() {
  Books books(0, BookSync{});
  Frame frame;
  frame.add(0, false, {});
  frame.records[0].flags = kFlagLast;
  CHECK(books.apply(frame.view()) == 0);
  CHECK(books.all().empty());
}

void test_books_stay_where_they_are() {
  Books books(0, BookSync{});
  const Book* first = &books.at(0);
  for (std::int32_t i = 1; i < 5000; ++i) books.at(i);
  CHECK(first == &books.at(0));
}

void test_one_batch_counts_each_book_once() {
  Books books(1, BookSync{});
  Frame frame;
  for (int i = 0; i < 6; ++i) {
    frame.add(i % 2, false, {level(Side::bid, Action::add, 5 + i, 1)});
  }
  CHECK(books.apply(frame.view()) == 2);
  CHECK(books.at(0).updates() == 3);
  CHECK(books.at(1).side(Side::bid).size() == 1 && books.at(1).side(Side::bid).level(0).price == 10);
}

void test_a_batch_put_off_is_applied_once_and_in_its_turn() {
  Books books(0, BookSync{});
  const Book& book = books.at(0);
  Frame first;
  first.add(0, true, {level(Side::bid, Action::add, 5, 1)});
  Frame second;
  second.add(0, true, {level(Side::bid, Action::add, 6, 1)});
  Block blocks[2];
  blocks[0].view = first.view();
  blocks[1].view = second.view();
  books.put_off(blocks[0]);
  CHECK(book.updates() == 0);
  books.put_off(blocks[1]);  // the one before it must not be lost
  CHECK(book.updates() == 1 && book.side(Side::bid).level(0).price == 5);
  books.settle();
  books.settle();
  CHECK(book.updates() == 2 && book.side(Side::bid).level(0).price == 6);
  books.put_off(blocks[0]);
  CHECK(books.apply(blocks[1].view) == 1);
  CHECK(book.updates() == 4 && book.side(Side::bid).level(0).price == 6);
  CHECK(!books.ran_out());
}

void test_books_that_a_message_can_break_are_known() {
  Books plain(0, BookSync{});
  CHECK(!plain.breakable());
  plain.follow(0, BookSync{});
  CHECK(!plain.breakable());
  plain.follow(1, {SequenceRule::none, true});
  CHECK(plain.breakable());
  CHECK(Books(0, {SequenceRule::linked, false}).breakable());
}

}  // namespace

int main() {
  return run_tests({
      TEST_CASE(test_random_operations_agree_with_a_map),
      TEST_CASE(test_numbers_no_book_may_hold_are_rejected_and_counted),
      TEST_CASE(test_a_removal_needs_no_quantity),
      TEST_CASE(test_decimals_and_orders_are_kept),
      TEST_CASE(test_handles_out_of_range_cost_no_memory),
      TEST_CASE(test_records_without_depth_are_not_looked_at),
      TEST_CASE(test_books_stay_where_they_are),
      TEST_CASE(test_one_batch_counts_each_book_once),
      TEST_CASE(test_a_batch_put_off_is_applied_once_and_in_its_turn),
      TEST_CASE(test_books_that_a_message_can_break_are_known),
  });
}

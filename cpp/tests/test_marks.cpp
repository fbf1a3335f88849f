#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "dragoman/marks.hpp"
#include "price_batch.hpp"

// What no decoder sends, and totals over more changes than a property test has time for.
// tests/property/test_marks.py has the laws.

namespace {

using namespace dragoman;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Marks::Position position(std::int32_t instrument, double quantity, double average, std::int64_t group = 0) {
  return {instrument, group, quantity, average, 1.0, kNaN};
}

void test_a_total_does_not_drift_over_many_changes() {
  Marks marks(PriceSource::last, 0);
  std::mt19937_64 random(20261123);
  std::uniform_real_distribution<double> draw(0.05, 5000.0);
  for (std::uint32_t slot = 0; slot < 50; ++slot) {
    marks.set(slot, position(static_cast<std::int32_t>(slot % 20), draw(random) - 2500.0, draw(random)));
  }
  std::vector<double> last(20, 0.0);
  for (int round = 0; round < 200'000; ++round) {
    const auto instrument = static_cast<std::int32_t>(random() % 20);
    // Now and then a price that swallows every digit of the rest, and goes again.
    const double price = random() % 64 == 0 ? 1e14 : draw(random);
    marks.apply(PriceBatch().last(instrument, price).view());
    last[static_cast<std::size_t>(instrument)] = price;
  }
  for (std::int32_t instrument = 0; instrument < 20; ++instrument) {
    marks.apply(PriceBatch().last(instrument, 100.0 + instrument).view());
  }
  long double sum = 0.0L;
  long double size = 0.0L;
  for (std::uint32_t slot = 0; slot < 50; ++slot) {
    sum += marks.unrealised(slot);
    size += std::fabs(marks.unrealised(slot));
  }
  CHECK(std::fabs(static_cast<double>(marks.total(0) - sum)) <= 1e-15 * static_cast<double>(size));
}

void test_prices_that_are_none_are_counted_and_mark_nothing() {
  Marks marks(PriceSource::last, 0);
  marks.set(0, position(0, 1.0, 10.0));
  for (const double price : {0.0, -0.0, -1.0, kNaN, kInfinity, -kInfinity, 1e300, 5e-324 * 0.0}) {
    CHECK(marks.apply(PriceBatch().last(0, price).view()) == 0);
  }
  PriceBatch absent;
  absent.last(0, 10.0).back().present = 0;
  CHECK(marks.apply(absent.view()) == 0);
  PriceBatch repeated;
  repeated.last(0, 10.0).back().changed = 0;
  CHECK(marks.apply(repeated.view()) == 0);
  CHECK(std::isnan(marks.price(0)) && marks.time(0) == Marks::kNoTime && marks.missing(0) == 1);
  const PriceCounters& counters = marks.counters();
  CHECK(counters.ignored_zero == 4 && counters.ignored_infinite == 4 && counters.used == 0);
  CHECK(counters.ignored_absent == 1 && counters.ignored_repeated == 1);
}

void test_handles_that_cannot_be_are_left_alone() {
  Marks marks(PriceSource::last, 0);
  marks.set(0, position(3, 1.0, 10.0));
  PriceBatch batch;
  for (const std::int32_t handle :
       {-1, -2, 0, 4, std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::min()}) {
    batch.last(handle, 11.0);
  }
  CHECK(marks.apply(batch.view()) == 0);
  CHECK(marks.counters().ignored_unbound == 3 && marks.counters().used == 0);
}

void test_times_at_the_ends_of_their_range_do_no_harm() {
  Marks marks(PriceSource::last, 1);
  marks.set(0, position(0, 1.0, 10.0));
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t event : {kAbsentInt, kAbsentInt + 1, std::int64_t{0}, kMax}) {
    for (const std::int64_t recv : {kAbsentInt, std::int64_t{0}, std::int64_t{1}, kMax}) {
      marks.apply(PriceBatch().last(0, 11.0, event, recv).view());
      for (const std::int64_t now : {kAbsentInt, std::int64_t{0}, kMax}) (void)marks.stale(0, now);
    }
  }
  CHECK(marks.price(0) == 11.0);
}

void test_a_time_far_ahead_is_used_but_not_believed() {
  Marks marks(PriceSource::last, 0);
  marks.set(0, position(0, 1.0, 10.0));
  constexpr std::int64_t kNow = 1'700'000'000'000'000'000;
  marks.apply(PriceBatch().last(0, 11.0, kNow + kMaxAheadNs + 1, kNow).view());
  CHECK(marks.price(0) == 11.0 && marks.counters().ahead == 1);
  CHECK(marks.apply(PriceBatch().last(0, 12.0, kNow, kNow + 1).view()) == 1);
  CHECK(marks.apply(PriceBatch().last(0, 13.0, kNow - 1, kNow + 2).view()) == 0);
  CHECK(marks.counters().ignored_old == 1);
}

void test_rows_of_one_instrument_come_and_go_in_any_order() {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    Marks marks(PriceSource::last, 0);
    std::vector<std::int64_t> group(12, -1);
    std::vector<std::int32_t> instrument(12, -1);
    for (int step = 0; step < 60; ++step) {
      const auto slot = static_cast<std::uint32_t>(random() % 12);
      if (random() % 3 == 0) {
        CHECK(marks.remove(slot) == (group[slot] >= 0));
        group[slot] = -1;
      } else {
        group[slot] = random() % 3;
        instrument[slot] = static_cast<std::int32_t>(random() % 3);
        marks.set(slot, position(instrument[slot], slot + 1.0, 4.0, group[slot]));
      }
      if (random() % 2 == 0) {
        marks.apply(PriceBatch()
                        .last(static_cast<std::int32_t>(random() % 3), static_cast<double>(1 + random() % 9))
                        .view());
      }
      for (std::int64_t one = 0; one < 3; ++one) {
        double sum = 0.0;
        std::size_t missing = 0;
        for (std::uint32_t at = 0; at < 12; ++at) {
          if (group[at] != one) continue;
          const double price = marks.price(instrument[at]);
          missing += std::isnan(price);
          if (!std::isnan(price)) sum += (price - 4.0) * (at + 1.0);
        }
        CHECK(marks.total(one) == sum && marks.missing(one) == missing);
      }
    }
  }
}

}  // namespace

int main() {
  return run_tests({
      TEST_CASE(test_a_total_does_not_drift_over_many_changes),
      TEST_CASE(test_prices_that_are_none_are_counted_and_mark_nothing),
      TEST_CASE(test_handles_that_cannot_be_are_left_alone),
      TEST_CASE(test_times_at_the_ends_of_their_range_do_no_harm),
      TEST_CASE(test_a_time_far_ahead_is_used_but_not_believed),
      TEST_CASE(test_rows_of_one_instrument_come_and_go_in_any_order),
  });
}

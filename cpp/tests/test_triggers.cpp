#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "check.hpp"
#include "dragoman/triggers.hpp"
#include "price_batch.hpp"

// Against a table that looks at every trigger with every price; tests/property/test_triggers.py has the laws.

namespace {

using namespace dragoman;
using Kind = Triggers::Kind;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Triggers::Order fixed(std::int32_t instrument, Kind kind, double level, std::int64_t after_ns = 0) {
  return {instrument, PriceSource::last, kind, false, level, kNaN, 0.0, after_ns};
}

Triggers::Order trailing(std::int32_t instrument, Kind kind, double trail, double level = kNaN) {
  return {instrument, PriceSource::last, kind, false, level, trail, 0.0, 0};
}

struct Plain {
  Triggers::Order order;
  double best = kNaN;
  int armed = 0;

  bool takes(double price) {
    const bool below = order.kind == Kind::below || order.kind == Kind::trail_below;
    if (order.kind >= Kind::trail_below && (std::isnan(best) || (below ? price > best : price < best))) {
      best = price;
      const double wanted = below ? best - order.trail : best + order.trail;
      if (std::isnan(order.level) || (below ? wanted > order.level : wanted < order.level))
        order.level = wanted;
    }
    return below ? price <= order.level : price >= order.level;
  }
};

void test_random_orders_agree_with_a_table() {
  std::mt19937 random(20261123);
  for (int round = 0; round < 400; ++round) {
    Triggers triggers(0);
    std::map<std::int64_t, Plain> table;
    int armings = 0;
    for (int step = 0; step < 120; ++step) {
      const auto id = static_cast<std::int64_t>(random() % 30);
      const auto instrument = static_cast<std::int32_t>(random() % 3);
      const double level = static_cast<double>(1 + random() % 40);
      const auto draw = random() % 8;
      if (draw == 0) {
        CHECK(triggers.disarm(id) == (table.erase(id) != 0));
      } else if (draw < 4) {
        const auto kind = static_cast<Kind>(random() % 4);
        const Triggers::Order order = kind < Kind::trail_below
                                          ? fixed(instrument, kind, level)
                                          : trailing(instrument, kind, static_cast<double>(1 + random() % 6),
                                                     random() % 2 != 0 ? kNaN : level);
        triggers.arm(id, order);
        table[id] = {order, kNaN, armings++};
      } else {
        PriceBatch batch;
        std::vector<std::int64_t> wanted;
        for (unsigned ticks = 1 + random() % 4; ticks > 0; --ticks) {
          const auto ticking = static_cast<std::int32_t>(random() % 3);
          const double price = static_cast<double>(1 + random() % 40);
          batch.last(ticking, price);
          std::map<int, std::int64_t> now;
          for (auto& [one, plain] : table) {
            if (plain.order.instrument == ticking && plain.takes(price)) now[plain.armed] = one;
          }
          for (const auto& [order, one] : now) {
            wanted.push_back(one);
            table.erase(one);
          }
        }
        CHECK(triggers.apply(batch.view()) == wanted.size());
        for (std::size_t i = 0; i < wanted.size() && i < triggers.fired().size(); ++i) {
          CHECK(triggers.fired()[i].id == wanted[i]);
        }
      }
      CHECK(triggers.size() == table.size());
      for (const auto& [one, plain] : table) {
        const Triggers::Armed* const armed = triggers.find(one);
        CHECK(armed != nullptr);
        if (armed == nullptr) continue;
        CHECK(armed->level == plain.order.level ||
              (std::isnan(armed->level) && std::isnan(plain.order.level)));
      }
    }
  }
}

void test_nothing_counts_before_its_time() {
  Triggers triggers(0);
  triggers.arm(1, fixed(0, Kind::below, 100.0, 50));
  triggers.arm(2, fixed(0, Kind::below, 90.0, 60));
  CHECK(triggers.apply(PriceBatch().last(0, 80.0, kAbsentInt, 49).view()) == 0);
  CHECK(triggers.apply(PriceBatch().last(0, 80.0, kAbsentInt, 50).view()) == 1);
  CHECK(triggers.fired()[0].id == 1);
  CHECK(triggers.disarm(2) && triggers.size() == 0);
  CHECK(triggers.apply(PriceBatch().last(0, 80.0, kAbsentInt, 99).view()) == 0);
}

void test_bad_prices_and_old_ticks_fire_nothing() {
  Triggers triggers(10);
  triggers.arm(1, fixed(0, Kind::below, 100.0));
  for (const double price : {0.0, -5.0, kNaN, -std::numeric_limits<double>::infinity()}) {
    CHECK(triggers.apply(PriceBatch().last(0, price).view()) == 0);
    CHECK(triggers.fire_at(0, PriceSource::last, price, 5) == 0);
  }
  CHECK(triggers.apply(PriceBatch().last(0, 200.0, 1000, 1000).view()) == 0);
  CHECK(triggers.apply(PriceBatch().last(0, 50.0, 999, 1001).view()) == 0);
  CHECK(triggers.apply(PriceBatch().last(0, 50.0, 1000, 1011).view()) == 0);
  CHECK(triggers.fire_at(0, PriceSource::last, 50.0, 999) == 0);
  CHECK(triggers.counters().ignored_old == 2 && triggers.counters().ignored_delayed == 1);
  CHECK(triggers.apply(PriceBatch().last(0, 50.0, 1000, 1010).view()) == 1);
}

void test_times_at_the_ends_of_their_range_do_no_harm() {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t delay : {std::int64_t{0}, std::int64_t{1}, kMax}) {
    Triggers triggers(delay);
    triggers.arm(1, fixed(0, Kind::above, 100.0, kMax - 1));
    triggers.arm(2, fixed(0, Kind::above, 100.0));
    for (const std::int64_t event : {kAbsentInt, kAbsentInt + 1, std::int64_t{0}, kMax}) {
      for (const std::int64_t recv : {kAbsentInt, std::int64_t{0}, std::int64_t{1}, kMax}) {
        triggers.apply(PriceBatch().last(0, 50.0, event, recv).view());
      }
    }
    CHECK(triggers.size() == 2);
  }
}

void test_a_decimal_step_is_not_missed_by_rounding() {
  Triggers triggers(0);
  Triggers::Order order = trailing(0, Kind::trail_below, 1.0);
  order.step = 0.05;
  triggers.arm(1, order);
  triggers.apply(PriceBatch().last(0, 100.0).last(0, 100.04).view());
  CHECK(triggers.find(1)->level == 99.0 && triggers.find(1)->best == 100.04);
  triggers.apply(PriceBatch().last(0, 100.05).view());
  CHECK(std::fabs(triggers.find(1)->level - 99.05) < 1e-9);
}

}  // namespace

int main() {
  return run_tests({
      TEST_CASE(test_random_orders_agree_with_a_table),
      TEST_CASE(test_nothing_counts_before_its_time),
      TEST_CASE(test_bad_prices_and_old_ticks_fire_nothing),
      TEST_CASE(test_times_at_the_ends_of_their_range_do_no_harm),
      TEST_CASE(test_a_decimal_step_is_not_missed_by_rounding),
  });
}

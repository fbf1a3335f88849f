#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "check.hpp"
#include "count_allocations.hpp"
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

void test_a_trailing_level_lies_on_its_step() {
  const std::vector<double> ticks = {1.0,  5.0,    0.5,  0.25, 0.05,   0.01, 0.0001,
                                     0.15, 0.0025, 1e-5, 1e-6, 2.5e-7, 1e-8, 15e-9};
  std::mt19937 random(20261123);
  for (const double tick : ticks) {
    const double parts = tick < 0.0001 ? 1e9 : 10000.0;
    const double whole = std::round(tick * parts);
    for (int round = 0; round < 2000; ++round) {
      const bool below = random() % 2 != 0;
      Triggers::Order order = trailing(0, below ? Kind::trail_below : Kind::trail_above,
                                       static_cast<double>(1 + random() % 500) / 100.0);
      order.percent = random() % 2 != 0;
      order.step = tick;
      Triggers triggers(0);
      triggers.arm(1, order);
      const double price = (1000.0 + static_cast<double>(random() % 100000)) * whole / parts;
      triggers.apply(PriceBatch().last(0, price).view());
      const Triggers::Armed* const one = triggers.find(1);
      CHECK(one != nullptr);
      if (one == nullptr) return;
      const double count = std::round(one->level * parts / whole);
      CHECK(one->level == count * whole / parts);  // the very double that a price of so many ticks is
      const double asked = order.percent ? price * order.trail / 100.0 : order.trail;
      const double away = below ? price - one->level : one->level - price;
      CHECK(away > tick * 0.999 && away > asked - tick && away < std::max(asked, tick) + tick * 1e-5);
    }
  }
}

void test_a_level_off_its_step_by_rounding_alone_lies_on_it() {
  Triggers triggers(0);
  Triggers::Order order = trailing(0, Kind::trail_below, 1.0);
  order.step = 0.05;
  triggers.arm(1, order);
  triggers.apply(PriceBatch().last(0, 100.0).view());
  CHECK(triggers.find(1)->level == 99.0);
  triggers.apply(PriceBatch().last(0, 100.04).view());
  CHECK(triggers.find(1)->level == 99.05 && triggers.find(1)->best == 100.04);
  triggers.apply(PriceBatch().last(0, 100.05).view());
  CHECK(triggers.find(1)->level == 99.05);
  triggers.apply(PriceBatch().last(0, 99.05).view());
  CHECK(triggers.find(1) == nullptr);
}

void test_firing_allocates_nothing() {
  Triggers triggers(0);
  std::mt19937 random(3);
  for (int round = 0; round < 20; ++round) {
    for (std::int64_t id = 0; id < 300; ++id) {
      const auto kind = static_cast<Kind>(random() % 4);
      const double level = static_cast<double>(1 + random() % 50);
      const auto instrument = static_cast<std::int32_t>(random() % 4);
      Triggers::Order order =
          kind < Kind::trail_below ? fixed(instrument, kind, level) : trailing(instrument, kind, 3.0, level);
      order.after_ns = static_cast<std::int64_t>(random() % 3);
      triggers.arm(id, order);
    }
    PriceBatch batch;
    for (int tick = 0; tick < 200; ++tick) {
      batch.last(static_cast<std::int32_t>(random() % 5) - 1, static_cast<double>(1 + random() % 50),
                 kAbsentInt, tick % 4);
    }
    const BatchView view = batch.view();
    const int before = g_allocations;
    CHECK(triggers.apply(view) > 0);
    CHECK(g_allocations == before);
  }
}

}  // namespace

int main() {
  return run_tests({
      TEST_CASE(test_random_orders_agree_with_a_table),
      TEST_CASE(test_nothing_counts_before_its_time),
      TEST_CASE(test_bad_prices_and_old_ticks_fire_nothing),
      TEST_CASE(test_times_at_the_ends_of_their_range_do_no_harm),
      TEST_CASE(test_a_trailing_level_lies_on_its_step),
      TEST_CASE(test_a_level_off_its_step_by_rounding_alone_lies_on_it),
      TEST_CASE(test_firing_allocates_nothing),
  });
}

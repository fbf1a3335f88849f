#include <cstdint>
#include <deque>
#include <random>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "dragoman/rate_limit.hpp"

// Sizes and extremes; tests/property/test_rate_limit.py has the laws.

namespace {

using namespace dragoman;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kDay = 86'400 * kSecond;

template <class Body>
bool throws_invalid(Body&& body) {
  try {
    body();
  } catch (const std::invalid_argument&) {
    return true;
  }
  return false;
}

void test_a_large_rolling_window_is_exact() {
  RateLimiter limiter({{"orders", 5000, kDay, Window::rolling, 100}}, 0);
  const std::size_t one = limiter.plan({{"orders", 1}});
  std::deque<std::int64_t> inside;
  std::mt19937_64 random(7);
  std::int64_t now = 0;
  int refused = 0;
  for (int i = 0; i < 200'000; ++i) {
    now += static_cast<std::int64_t>(random() % (20 * static_cast<std::uint64_t>(kSecond)));
    while (!inside.empty() && inside.front() <= now - kDay) inside.pop_front();
    const std::int64_t wait = limiter.try_acquire(now, now, one, Lane::risk);
    const bool room = inside.size() < 5000;
    CHECK((wait == 0) == room);
    if (room) {
      inside.push_back(now);
    } else {
      ++refused;
      CHECK(wait == inside.front() + kDay - now);
    }
  }
  CHECK(refused > 1000);
}

void test_times_at_the_ends_of_their_range_do_not_overflow() {
  for (const Window window : {Window::bucket, Window::rolling, Window::calendar}) {
    for (const std::int64_t wall : {-RateLimiter::kMaxWall, std::int64_t{0}, RateLimiter::kMaxWall}) {
      for (const std::int64_t offset : {-RateLimiter::kMaxPeriod, RateLimiter::kMaxPeriod}) {
        RateLimiter limiter({{"m", 2, RateLimiter::kMaxPeriod, window, 1}}, offset);
        const std::size_t one = limiter.plan({{"m", 1}});
        CHECK(limiter.try_acquire(RateLimiter::kMaxMono, wall, one, Lane::normal) == 0);
        CHECK(limiter.try_acquire(RateLimiter::kMaxMono, wall, one, Lane::normal) > 0);
        CHECK(limiter.try_acquire(RateLimiter::kMaxMono, -wall, one, Lane::risk) == 0);
        limiter.penalise("m", RateLimiter::kMaxMono);
        CHECK(limiter.try_acquire(0, wall, one, Lane::risk) > 0);
        CHECK(limiter.use(0, RateLimiter::kMaxMono, -wall).used >= 0);
        limiter.refund(one, RateLimiter::kMaxMono, Lane::normal);
      }
    }
  }
}

void test_a_clock_that_reads_earlier_than_the_last_grant_waits_for_it() {
  RateLimiter limiter({{"m", 1, 100, Window::rolling, 0}}, 0);
  const std::size_t one = limiter.plan({{"m", 1}});
  CHECK(limiter.try_acquire(50, 0, one, Lane::normal) == 0);
  CHECK(limiter.try_acquire(40, 0, one, Lane::normal) == 110);
}

void test_a_plan_of_nothing_is_always_granted() {
  RateLimiter limiter({{"m", 1, 100, Window::rolling, 0}}, 0);
  const std::size_t nothing = limiter.plan({});
  for (int i = 0; i < 5; ++i) CHECK(limiter.try_acquire(0, 0, nothing, Lane::normal) == 0);
}

void test_a_day_of_the_calendar_survives_a_clock_corrected_by_days() {
  RateLimiter limiter({{"m", 3, kDay, Window::calendar, 0}}, 0);
  const std::size_t one = limiter.plan({{"m", 1}});
  const std::int64_t wrong = 1000 * kDay;
  for (int i = 0; i < 3; ++i) CHECK(limiter.try_acquire(i, wrong, one, Lane::normal) == 0);
  const std::int64_t right = wrong - 3 * kDay;
  const std::int64_t wait = limiter.try_acquire(5, right, one, Lane::normal);
  CHECK(wait > 0 && wait <= kDay);
  CHECK(limiter.try_acquire(5 + wait, right + wait, one, Lane::normal) == 0);
}

void test_impossible_meters_and_costs_are_refused() {
  CHECK(throws_invalid([] { RateLimiter({{"m", 0, 1, Window::bucket, 0}}, 0); }));
  CHECK(throws_invalid([] { RateLimiter({{"m", 1, RateLimiter::kMaxPeriod + 1, Window::rolling, 0}}, 0); }));
  CHECK(throws_invalid([] { RateLimiter({{"m", 2, 10, Window::rolling, 2}}, 0); }));
  CHECK(throws_invalid([] { RateLimiter({}, RateLimiter::kMaxPeriod + 1); }));
  RateLimiter limiter({{"m", 5, 10, Window::rolling, 2}}, 0);
  CHECK(throws_invalid([&] { (void)limiter.plan({{"m", 6}}); }));
  CHECK(throws_invalid([&] { (void)limiter.plan({{"m", 0}}); }));
  CHECK(throws_invalid([&] { (void)limiter.plan({{"n", 1}}); }));
  CHECK(limiter.plan_count() == 0);
  const std::size_t four = limiter.plan({{"m", 4}});
  CHECK(limiter.try_acquire(0, 0, four, Lane::normal) == RateLimiter::kNever);
  CHECK(limiter.beyond_lane_0(four) == "m");
  CHECK(limiter.try_acquire(0, 0, four, Lane::risk) == 0);
}

}  // namespace

int main() {
  return run_tests({
      TEST_CASE(test_a_large_rolling_window_is_exact),
      TEST_CASE(test_times_at_the_ends_of_their_range_do_not_overflow),
      TEST_CASE(test_a_clock_that_reads_earlier_than_the_last_grant_waits_for_it),
      TEST_CASE(test_a_plan_of_nothing_is_always_granted),
      TEST_CASE(test_a_day_of_the_calendar_survives_a_clock_corrected_by_days),
      TEST_CASE(test_impossible_meters_and_costs_are_refused),
  });
}

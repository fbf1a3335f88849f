#include <array>
#include <cstdint>

#include "check.hpp"
#include "dragoman/histogram.hpp"

namespace {

using dragoman::Histogram;

void test_buckets_tile_all_values_without_gap() {
  CHECK(Histogram::lowest(0) == 0);
  for (std::size_t bucket = 0; bucket + 1 < Histogram::kBuckets; ++bucket) {
    CHECK(Histogram::highest(bucket) + 1 == Histogram::lowest(bucket + 1));
    CHECK(Histogram::index(Histogram::lowest(bucket)) == bucket);
    CHECK(Histogram::index(Histogram::highest(bucket)) == bucket);
  }
  CHECK(Histogram::index(Histogram::kMax) == Histogram::kBuckets - 1);
}

void test_a_bucket_is_at_most_a_hundredth_wide() {
  for (std::size_t bucket = 0; bucket < Histogram::kBuckets; ++bucket) {
    const std::int64_t low = Histogram::lowest(bucket);
    CHECK((Histogram::highest(bucket) - low) * 100 <= low);
  }
}

void test_extremes_are_exact_and_values_out_of_range_are_clamped_or_rejected() {
  Histogram histogram;
  CHECK(histogram.quantile(0.5) == 0);
  CHECK(histogram.minimum() == 0);
  histogram.record(1'234'567);
  histogram.record(-1);
  CHECK(histogram.count() == 1);
  CHECK(histogram.rejected() == 1);
  CHECK(histogram.minimum() == 1'234'567);
  CHECK(histogram.quantile(0.0) == 1'234'567);
  histogram.record(INT64_MAX);
  CHECK(histogram.maximum() == Histogram::kMax);
  CHECK(histogram.quantile(1.0) == Histogram::kMax);
}

void test_merging_equals_recording_both() {
  Histogram one;
  Histogram two;
  Histogram both;
  for (std::int64_t value = 1; value < 1'000'000; value = value * 5 / 4 + 1) {
    (value % 2 != 0 ? one : two).record(value);
    both.record(value);
  }
  one.merge(two);
  CHECK(one.count() == both.count());
  CHECK(one.total() == both.total());
  for (const double q : {0.0, 0.1, 0.5, 0.99, 1.0}) {
    CHECK(one.quantile(q) == both.quantile(q));
  }
  one.reset();
  CHECK(one.count() == 0);
  CHECK(one.maximum() == 0);
}

void test_cumulative_counts_rise_to_the_count() {
  Histogram histogram;
  for (std::int64_t value = 0; value < 100; ++value) {
    histogram.record(value);
  }
  const std::array<std::int64_t, 4> bounds{-1, 9, 50, 1000};
  std::array<std::uint64_t, 4> counts{};
  histogram.cumulative(bounds, counts);
  CHECK(counts == std::array<std::uint64_t, 4>{0, 10, 51, 100});
}

}  // namespace

int main() {
  return run_tests({
      TEST_CASE(test_buckets_tile_all_values_without_gap),
      TEST_CASE(test_a_bucket_is_at_most_a_hundredth_wide),
      TEST_CASE(test_extremes_are_exact_and_values_out_of_range_are_clamped_or_rejected),
      TEST_CASE(test_merging_equals_recording_both),
      TEST_CASE(test_cumulative_counts_rise_to_the_count),
  });
}

#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace dragoman {

/// Counts of durations, in memory that is the same for one value and for a billion.
///
/// Theory: values below 256 have a bucket each. Above, every power of two is cut into 128 buckets of equal
/// width, so a bucket is at most 1/128 of its lowest value wide and its middle is within 0.4% of every value
/// in it. The index is the exponent and the seven bits after the leading one: a shift and an addition, no
/// search.
///
/// Threads: unsynchronised. Allocates nothing. `record` is O(1), everything that reads is O(buckets).
class Histogram {
 public:
  /// Values up to this are told apart; larger ones count as this. In ns, 73 minutes.
  static constexpr std::int64_t kMax = (std::int64_t{1} << 42) - 1;
  static constexpr int kSubBits = 7;
  static constexpr std::size_t kSub = std::size_t{1} << kSubBits;
  static constexpr std::size_t kBuckets = (42 - kSubBits + 1) * kSub;

  /// Count one value. A negative one, which only a stepped clock can make, is not counted but remembered.
  void record(std::int64_t value) noexcept {
    if (value < 0) [[unlikely]] {
      ++rejected_;
      return;
    }
    if (value > kMax) [[unlikely]] {
      value = kMax;
    }
    ++counts_[index(value)];
    ++count_;
    total_ += value;
    minimum_ = value < minimum_ ? value : minimum_;
    maximum_ = value > maximum_ ? value : maximum_;
  }

  /// The value below or at which the share `q` of all values lies; q in [0, 1]. 0 where nothing was counted.
  /// Within 1% of the exact one, never outside [minimum, maximum].
  [[nodiscard]] std::int64_t quantile(double q) const noexcept;

  /// How many values are at most each bound, bounds rising; a bucket that a bound cuts counts as above it.
  void cumulative(std::span<const std::int64_t> bounds, std::span<std::uint64_t> counts) const noexcept;

  void merge(const Histogram& other) noexcept;
  void reset() noexcept { *this = Histogram(); }

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t rejected() const noexcept { return rejected_; }
  [[nodiscard]] std::int64_t total() const noexcept { return total_; }
  [[nodiscard]] std::int64_t minimum() const noexcept { return count_ != 0 ? minimum_ : 0; }
  [[nodiscard]] std::int64_t maximum() const noexcept { return maximum_; }

  /// Bucket of a value in [0, kMax].
  [[nodiscard]] static std::size_t index(std::int64_t value) noexcept {
    const auto bits = static_cast<std::uint64_t>(value);
    const int width = static_cast<int>(std::bit_width(bits));
    const int shift = width > kSubBits + 1 ? width - (kSubBits + 1) : 0;
    return (static_cast<std::size_t>(shift) << kSubBits) + static_cast<std::size_t>(bits >> shift);
  }

  /// Lowest and highest value of a bucket.
  [[nodiscard]] static std::int64_t lowest(std::size_t bucket) noexcept;
  [[nodiscard]] static std::int64_t highest(std::size_t bucket) noexcept;

 private:
  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t rejected_ = 0;
  std::int64_t total_ = 0;
  std::int64_t minimum_ = kMax;
  std::int64_t maximum_ = 0;
};

static_assert(Histogram::kBuckets == 4608);

}  // namespace dragoman

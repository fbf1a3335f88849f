#include "dragoman/histogram.hpp"

#include <algorithm>
#include <cmath>

namespace dragoman {

std::int64_t Histogram::lowest(std::size_t bucket) noexcept {
  if (bucket < 2 * kSub) {
    return static_cast<std::int64_t>(bucket);
  }
  const std::size_t shift = (bucket >> kSubBits) - 1;
  return static_cast<std::int64_t>((bucket - (shift << kSubBits)) << shift);
}

std::int64_t Histogram::highest(std::size_t bucket) noexcept {
  return bucket + 1 < kBuckets ? lowest(bucket + 1) - 1 : kMax;
}

std::int64_t Histogram::quantile(double q) const noexcept {
  if (count_ == 0) {
    return 0;
  }
  const double wanted = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(count_));
  const auto rank = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(wanted), 1, count_);
  if (rank == count_) {
    return maximum_;
  }
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) {
    seen += counts_[bucket];
    if (seen >= rank) {
      const std::int64_t low = lowest(bucket);
      return std::clamp(low + (highest(bucket) - low) / 2, minimum_, maximum_);
    }
  }
  return maximum_;
}

void Histogram::cumulative(std::span<const std::int64_t> bounds,
                           std::span<std::uint64_t> counts) const noexcept {
  std::size_t bucket = 0;
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    while (bucket < kBuckets && highest(bucket) <= bounds[i]) {
      seen += counts_[bucket++];
    }
    // The largest value is known exactly: no bound at or above it may lack a value.
    counts[i] = bounds[i] >= maximum_ ? count_ : seen;
  }
}

void Histogram::merge(const Histogram& other) noexcept {
  for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) {
    counts_[bucket] += other.counts_[bucket];
  }
  count_ += other.count_;
  rejected_ += other.rejected_;
  total_ += other.total_;
  minimum_ = std::min(minimum_, other.minimum_);
  maximum_ = std::max(maximum_, other.maximum_);
}

}  // namespace dragoman

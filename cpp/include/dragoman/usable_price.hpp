#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "dragoman/record.hpp"

namespace dragoman {

/// Which of a record's prices money hangs on.
enum class PriceSource : std::uint8_t { last = 0, mark = 1, mid = 2 };
inline constexpr std::size_t kPriceSources = 3;

/// Records of instruments somebody watches, by what became of their price. Names are those Python sees.
#define DRAGOMAN_PRICE_COUNTERS(X)                                                          \
  X(used)                                                                                   \
  X(ignored_absent)    /* the record says no such price */                                  \
  X(ignored_zero)      /* 0 or negative: no trade yet, or damage */                         \
  X(ignored_infinite)  /* NaN, infinite or beyond kMaxPrice */                              \
  X(ignored_one_sided) /* a mid of one side */                                              \
  X(ignored_crossed)   /* a mid of a bid above its ask */                                   \
  X(ignored_repeated)  /* a merged record that repeats an old price: nobody sent it now */  \
  X(ignored_old)       /* of an earlier ts_event than the newest price of the instrument */ \
  X(ignored_delayed)   /* further behind its arrival than is allowed */                     \
  X(ignored_unbound)   /* of no known instrument */                                         \
  X(ahead)             /* used, but its ts_event, in the future, was not believed */

struct PriceCounters {
#define DRAGOMAN_COUNTER(name) std::uint64_t name = 0;
  DRAGOMAN_PRICE_COUNTERS(DRAGOMAN_COUNTER)
#undef DRAGOMAN_COUNTER
};

/// Beyond this a price is damage; products of three numbers up to it stay far from the end of float64.
inline constexpr double kMaxPrice = 1e15;
/// A ts_event further ahead of its own arrival is damage: believed, it would shut out every tick after it.
inline constexpr std::int64_t kMaxAheadNs = 10'000'000'000;
/// Handles from here on are taken for damage, as in Books: an index must not grow at the word of a bad
/// number.
inline constexpr std::int32_t kMaxWatched = 1 << 22;

inline constexpr double kNoPrice = std::numeric_limits<double>::quiet_NaN();

/// Whether money may hang on a number as a price. Counts why not.
[[nodiscard]] inline bool check_price(double price, PriceCounters& counters) noexcept {
  if (price > 0.0 && price <= kMaxPrice) [[likely]] {
    return true;
  }
  ++(price <= 0.0 && price >= -kMaxPrice ? counters.ignored_zero : counters.ignored_infinite);
  return false;
}

/// A record's price of one source, kNoPrice where none is usable; counts why. Looks at no times.
///
/// Of a merged record only what its own message carried counts: the rest is memory, however old.
[[nodiscard]] double usable_price(const Record& record, PriceSource source, PriceCounters& counters) noexcept;

/// What is known of one instrument's prices of one source, and the rule which tick comes after which.
struct PriceClock {
  std::int64_t ts_event = kAbsentInt;  ///< newest of a usable price
  std::int64_t ts_recv = kAbsentInt;   ///< of the newest usable price, a poll's own time included

  /// Whether a tick with these times is no older than what is known; takes its times then, counts otherwise.
  /// A tick without ts_event cannot be older.
  [[nodiscard]] bool take_tick(std::int64_t event, std::int64_t recv, PriceCounters& counters) noexcept {
    if (event != kAbsentInt) [[likely]] {
      if (event < ts_event) [[unlikely]] {
        ++counters.ignored_old;
        return false;
      }
      if (recv > 0 && event > recv && event - recv > kMaxAheadNs) [[unlikely]] {
        ++counters.ahead;
      } else {
        ts_event = event;
      }
    }
    ts_recv = recv;
    return true;
  }

  /// The same for a price that was polled at `ts`. It is compared with arrivals, and its time, which is of
  /// our clock, never shuts out a tick that comes after it.
  [[nodiscard]] bool take_poll(std::int64_t ts, PriceCounters& counters) noexcept {
    if (ts < ts_recv) {
      ++counters.ignored_old;
      return false;
    }
    ts_recv = ts;
    return true;
  }
};

/// Numbers of rows by dense instrument handle: 4 bytes for each handle up to the highest used.
class HandleIndex {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFFu;

  [[nodiscard]] std::uint32_t find(std::int32_t instrument) const noexcept {
    const auto index = static_cast<std::size_t>(static_cast<std::uint32_t>(instrument));
    return index < places_.size() ? places_[index] : kNone;  // -1, unbound, lies beyond every size
  }
  /// @param instrument  in [0, kMaxWatched)
  void set(std::int32_t instrument, std::uint32_t place) {
    const auto index = static_cast<std::size_t>(instrument);
    if (index >= places_.size()) places_.resize(index + 1, kNone);
    places_[index] = place;
  }

 private:
  std::vector<std::uint32_t> places_;
};

}  // namespace dragoman

#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <unordered_map>
#include <vector>

#include "dragoman/batch.hpp"
#include "dragoman/usable_price.hpp"

namespace dragoman {

/// Price levels that are waited for, and levels that trail the best price since they were armed.
///
/// Theory: the triggers of one instrument and price source share a *calm interval*: the open interval of
/// prices at which none of them fires and no trailing level or best price moves. Its ends are the nearest
/// levels and the nearest bests, so a tick inside it, which is nearly every tick, is two comparisons whatever
/// the number of triggers. Outside it fixed levels are taken from the near end of a sorted row, and only
/// trailing triggers are looked at one by one.
///
/// Threads: unsynchronised; belongs to the I/O thread. `apply` and `fire_at` allocate nothing.
class Triggers {
 public:
  enum class Kind : std::uint8_t {
    below,        ///< fires at price <= level
    above,        ///< fires at price >= level
    trail_below,  ///< fires at price <= level, which follows the highest price and only rises
    trail_above,  ///< fires at price >= level, which follows the lowest price and only falls
  };

  struct Order {
    std::int32_t instrument;  ///< in [0, kMaxWatched)
    PriceSource source;
    Kind kind;
    bool percent;  ///< `trail` is in hundredths of the best price
    double level;  ///< of a trailing one where it starts; NaN: with the first price
    double trail;  ///< distance of a trailing level from the best price, above 0
    double step;   ///< a trailing level lies on multiples of it, at least one from the best; 0: anywhere
    std::int64_t after_ns;  ///< prices that came earlier do not count
  };

  /// What fired, at which price, and what its level was.
  struct Fired {
    std::int64_t id;
    double price;
    double level;
    std::int64_t ts_event;  ///< kAbsentInt where unknown
    std::int64_t ts_recv;
    std::uint64_t armed;  ///< how many were armed before it: the order among those of one tick
  };

  /// @param max_delay_ns  ticks whose ts_event lies further before their arrival do not count; 0: all do
  explicit Triggers(std::int64_t max_delay_ns) noexcept : max_delay_ns_(max_delay_ns) {}

  /// Arm a trigger, in place of one that has this id.
  void arm(std::int64_t id, const Order& order);
  bool disarm(std::int64_t id) noexcept;

  /// Look at every price of a batch. What fires is disarmed; `fired` has it until the next call, in the order
  /// of the batch and, within one tick, of arming. Return how many they are.
  std::size_t apply(const BatchView& batch) noexcept;
  /// The same for one price that was polled at `ts`.
  std::size_t fire_at(std::int32_t instrument, PriceSource source, double price, std::int64_t ts) noexcept;
  [[nodiscard]] const std::vector<Fired>& fired() const noexcept { return fired_; }

  /// What is armed under an id; null where nothing is.
  struct Armed {
    std::int64_t id;
    Kind kind;
    bool percent;
    bool sleeping;        ///< until its `after_ns`
    std::uint32_t place;  ///< of its prices
    double level;
    double best;  ///< highest (lowest) price since; NaN before the first, and of fixed ones
    double trail;
    double step;
    std::int64_t after_ns;
    std::uint64_t armed;
  };
  [[nodiscard]] const Armed* find(std::int64_t id) const noexcept;
  /// When the newest usable price of its instrument and source came; kAbsentInt before the first.
  [[nodiscard]] std::int64_t seen_ns(const Armed& armed) const noexcept {
    return prices_[armed.place].clock.ts_recv;
  }

  [[nodiscard]] std::size_t size() const noexcept { return by_id_.size(); }
  [[nodiscard]] const PriceCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] std::int64_t max_delay_ns() const noexcept { return max_delay_ns_; }

 private:
  static constexpr std::uint32_t kNone = HandleIndex::kNone;
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  struct Fixed {
    double level;
    std::uint32_t at;  ///< in `slab_`
  };

  /// What a tick needs of the prices of one instrument and source; most look at nothing else.
  struct Prices {
    double low = -kInfinity;  ///< the calm interval
    double high = kInfinity;
    std::int64_t wakes_ns = kNever;  ///< when the first of `sleeping` counts
    PriceClock clock;
  };

  /// Who waits for them.
  struct Waiting {
    std::size_t armed = 0;
    std::vector<Fixed> below;  ///< levels rise, so the nearest is the last
    std::vector<Fixed> above;  ///< levels fall
    std::vector<std::uint32_t> trailing;
    std::vector<std::uint32_t> sleeping;  ///< until their `after_ns`
  };

  std::uint32_t prices_of(std::int32_t instrument, PriceSource source);
  void enlist(std::uint32_t at) noexcept;
  void take_out(std::uint32_t at) noexcept;
  void wake(std::uint32_t place, std::int64_t ts_recv) noexcept;
  void find_calm(std::uint32_t place) noexcept;
  void look(std::uint32_t place, double price, std::int64_t ts_event, std::int64_t ts_recv) noexcept;
  void put_in_order(std::size_t from) noexcept;
  [[nodiscard]] bool delayed(const Record& record) noexcept;
  void fire(std::uint32_t at, double price, std::int64_t ts_event, std::int64_t ts_recv) noexcept;

  std::int64_t max_delay_ns_;
  std::uint64_t armings_ = 0;
  HandleIndex index_[kPriceSources];
  std::uint32_t sources_ = 0;  ///< bit by PriceSource: somebody was armed on it
  std::vector<Prices> prices_;
  std::deque<Waiting> waiting_;  // of the same places
  std::vector<Armed> slab_;
  std::vector<std::uint32_t> free_;  // of `slab_`; room for all of it
  std::unordered_map<std::int64_t, std::uint32_t> by_id_;
  std::vector<Fired> fired_;  // room for all that are armed
  PriceCounters counters_;
};

}  // namespace dragoman

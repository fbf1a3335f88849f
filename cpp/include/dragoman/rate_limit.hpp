#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dragoman {

enum class Window : std::uint8_t { bucket, rolling, calendar };
enum class Lane : std::uint8_t { normal = 0, risk = 1 };

/// What one limit allows.
struct Meter {
  std::string name;
  std::int64_t count;
  std::int64_t period_ns;
  Window window;
  std::int64_t reserve;  ///< of `count`, kept for Lane::risk
};

class Undo;

/// How full a meter is. Times are ns from now.
struct MeterUse {
  std::int64_t count;
  std::int64_t used;
  std::int64_t left;          ///< what lane 0 could take now
  std::int64_t reserve_left;  ///< what lane 1 could take beyond that
  std::int64_t reset_ns;      ///< until the whole count can be taken at once
  std::int64_t penalty_ns;    ///< left of a penalty
};

/// The mutable part of one budget; its ring of grant times stands behind all meters' states.
struct BudgetState {
  std::int64_t arrival_ns;       ///< bucket: theoretical arrival time
  std::int64_t window;           ///< calendar: index of the latest window with a grant
  std::int64_t window_used;      ///< calendar: granted since that window's first grant
  std::int64_t window_first_ns;  ///< calendar: monotonic time of that first grant
  std::int64_t window_last_ns;   ///< calendar: monotonic time of the last grant while in that window
  std::int64_t newest;           ///< ring: position of the most recent grant
  std::int64_t size;             ///< ring: grants held
};

struct MeterState {
  std::int64_t penalised_until_ns;
  BudgetState total;
  BudgetState normal;
};

/// Several meters of one scope, taken together or not at all.
///
/// Theory. A *bucket* is GCRA: one theoretical arrival time, `count` at once after an idle spell, then
/// one every period / count. *Rolling* and *calendar* windows keep the monotonic time of their last
/// `count` grants in a ring; a further cost `c` is granted when the (count - c + 1)-th most recent one
/// is out of the window. For rolling that means at least one period old, so that no half-open span of a
/// period ever holds more than `count`. For calendar it means before the start of the present window,
/// and that start is found by going back, on the monotonic clock, as far as the wall clock is into the
/// window: grants are counted by when they really happened, whatever the wall clock said then.
///
/// By the wall clock's present reading that is exact through any step. When the clock steps back into an
/// earlier window, grants go on counting towards the later one as well, and at most `count` fit into any
/// rolling period, until the clock has caught up or a full period has passed since the later window's
/// last grant: a server that agrees with the old reading cannot see more than `count` in the window that
/// was open either.
///
/// Lane 1 (cancels, risk-reducing exits) may use the whole count. Lane 0 has a second budget of its own,
/// `count - reserve` in the same shape, so that `reserve` of every window is always lane 1's.
///
/// State is one block of plain integers apart from the logic, its size fixed at construction: our own, or a
/// part of a file that processes share (SharedRateLimiter).
/// Threads: unsynchronised. After construction nothing allocates except plan().
class RateLimiter {
 public:
  static constexpr std::int64_t kNever = -1;              ///< try_acquire: lane 0 can never have that much
  static constexpr std::int64_t kMaxMono = 1ll << 61;     ///< bound of monotonic times, ns
  static constexpr std::int64_t kMaxWall = 1ll << 62;     ///< bound of wall times either way, ns
  static constexpr std::int64_t kMaxPeriod = 1ll << 55;   ///< about 416 days
  static constexpr std::int64_t kShort = 60'000'000'000;  ///< longer meters survive a restart of the machine
  static constexpr std::int64_t kMaxRingCount = 1'000'000;  ///< 8 MB of grant times per budget

  using Cost = std::pair<std::string_view, std::int64_t>;

  /// @param calendar_offset_ns  added to the wall clock before calendar windows are cut: the UTC offset of
  ///                            the server's day
  /// @throws std::invalid_argument  names the meter, what was found and what was expected
  RateLimiter(std::vector<Meter> meters, std::int64_t calendar_offset_ns);

  /// The same over a state that lies elsewhere and is used as it is found there; see reset() and plausible().
  /// @param state  state_words(meters) words, which must outlive this
  /// @param undo   records every change until the change is whole; the caller commits it
  RateLimiter(std::vector<Meter> meters, std::int64_t calendar_offset_ns, std::int64_t* state, Undo* undo);

  /// @throws std::invalid_argument  as the constructor does
  [[nodiscard]] static std::size_t state_words(const std::vector<Meter>& meters);
  ~RateLimiter();
  RateLimiter(const RateLimiter&) = delete;
  RateLimiter& operator=(const RateLimiter&) = delete;

  /// Register a combination of costs and return its id; equal combinations share one.
  /// @throws std::invalid_argument  for an unknown meter or a cost outside 1..count
  [[nodiscard]] std::size_t plan(const std::vector<Cost>& costs);

  /// Take all meters of a plan, or none: a refusal changes nothing.
  /// @param mono_ns  in [0, kMaxMono]; a time before the last grant's counts as that grant's
  /// @param wall_ns  in [-kMaxWall, kMaxWall], UTC as the server's clock is believed to read
  /// @param plan     an id from plan()
  /// @return 0 when taken, kNever, or ns after which it succeeds if nothing else is taken meanwhile
  [[nodiscard]] std::int64_t try_acquire(std::int64_t mono_ns, std::int64_t wall_ns, std::size_t plan,
                                         Lane lane) noexcept;

  /// What try_acquire would return, taking nothing.
  [[nodiscard]] std::int64_t wait(std::int64_t mono_ns, std::int64_t wall_ns, std::size_t plan,
                                  Lane lane) const noexcept;

  /// Give back, once, what try_acquire took at `granted_mono_ns` for a request that was never sent.
  /// Never gives back more than the grant still weighs: a bucket has refilled part of it since.
  void refund(std::size_t plan, std::int64_t granted_mono_ns, Lane lane) noexcept;

  /// Refuse a meter on both lanes until then. A later end already set stays.
  /// @param until_mono_ns  at most kMaxMono
  /// @throws std::invalid_argument  for an unknown meter
  void penalise(std::string_view meter, std::int64_t until_mono_ns);

  /// Forget all grants and penalties.
  void reset() noexcept;
  /// Whether the state is one that this class can have left behind.
  [[nodiscard]] bool plausible() const noexcept;
  /// Carry the state over a restart of the machine, on whose new monotonic clock all grants lie before 0.
  /// Meters of up to kShort count as full at 0, since how long the restart took is only known by a wall clock
  /// that may have been wrong; longer ones keep their grants, dated by it.
  void reboot(std::int64_t mono_ns, std::int64_t wall_ns) noexcept;

  [[nodiscard]] MeterUse use(std::size_t meter, std::int64_t mono_ns, std::int64_t wall_ns) const noexcept;
  [[nodiscard]] const std::vector<Meter>& meters() const noexcept { return meters_; }
  [[nodiscard]] std::size_t plan_count() const noexcept { return plans_.size(); }
  /// Name of the first meter of a plan whose cost exceeds what lane 0 can ever have; empty if none.
  [[nodiscard]] std::string_view beyond_lane_0(std::size_t plan) const noexcept;
  /// Which meters a plan takes, one bit each; meters 64 apart share one.
  [[nodiscard]] std::uint64_t meter_mask(std::size_t plan) const noexcept { return plans_[plan].mask; }

 private:
  struct Share {
    std::size_t meter;
    std::int64_t cost;
    bool operator==(const Share&) const = default;
  };
  struct Plan {
    std::vector<Share> shares;
    std::uint64_t mask;
    bool beyond_lane_0;  // some cost is more than lane 0 can ever have
  };
  struct Rules;
  struct Header {
    std::int64_t last_mono_ns;
    std::int64_t last_wall_ns;  // of the same moment
  };

  [[nodiscard]] std::size_t meter_index(std::string_view name) const;
  [[nodiscard]] std::int64_t share_wait(const Share& share, std::int64_t mono_ns, std::int64_t wall_ns,
                                        Lane lane) const noexcept;

  std::vector<Meter> meters_;
  std::vector<Rules> rules_;  // what `meters_` means, worked out
  std::vector<Plan> plans_;
  std::unique_ptr<std::int64_t[]> own_;  // where the state is not shared
  Header* header_;                       // the state: Header, MeterState per meter, rings
  MeterState* states_;
  std::int64_t* rings_;
  Undo* undo_;
};

}  // namespace dragoman

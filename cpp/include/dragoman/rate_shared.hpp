#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "dragoman/rate_limit.hpp"

namespace dragoman {

/// A file that is there but cannot be counted in. The message names it, what was found and what to do.
class SharedStateError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A process that holds leases, and how many.
struct LeaseHolder {
  std::int64_t pid;
  std::int64_t held;
};

/// A RateLimiter whose state is a file mapped by every process that spends the same limits.
///
/// Theory. One robust mutex in the file guards the state; every change stands on an undo record until it is
/// whole, so that whoever takes the lock of a dead holder first takes its half change back. An flock, shared
/// while a handle lives, tells an opener whether it is alone: only then is the file made, carried over a
/// restart of the machine, or its mutex made anew. A file that cannot be trusted (another version, other
/// meters, damage) is refused and never emptied, because emptying it would hand out what was spent already.
/// An empty file is a new one. Removing the file while a process still uses it makes two counts of one limit.
///
/// Monotonic times are the kernel's, the same for all processes of a machine until it restarts; the boot id
/// says when it did (RateLimiter::reboot). A suspended machine's clock stands still, which only errs towards
/// waiting longer. What the kernel had not written back at a power failure, some seconds of counts, is lost.
///
/// Waiters. Whoever is refused and gives the time it came leaves a ticket; newcomers, and later arrivals,
/// wait behind tickets of any shared meter: lane 1 before lane 0, then by arrival, which one clock makes
/// comparable. A ticket holds its place until kGrace after its owner was due to ask again, at most kLease, so
/// that a dead or stopped owner blocks nobody for long; a dead one is seen as soon as it is late.
///
/// Leases. What a broker allows so many of at once (sockets of a key) is leased in the same file: a place
/// holds the process's id and start time, is freed with its handle, and taken back once its process is dead,
/// which is looked at whenever somebody asks for one. All leases are freed when a file is opened by nobody
/// else.
///
/// Threads: any, each for a moment under the mutex. Processes: not across fork. Linux only: not built
/// elsewhere.
class SharedRateLimiter {
 public:
  static constexpr std::int64_t kBusy = -2;    ///< the lock was held for kLockWait: its holder is stopped
  static constexpr std::int64_t kForked = -3;  ///< this handle was opened before a fork
  static constexpr std::int64_t kBroken = -4;  ///< the undo record of a dead holder makes no sense
  static constexpr std::int64_t kNoTicket = -1;
  static constexpr std::int64_t kPoll = 1'000'000;        ///< ns between looks at a line that is ahead
  static constexpr std::int64_t kLease = 1'000'000'000;   ///< ns within which a waiter must ask again
  static constexpr std::int64_t kGrace = 50'000'000;      ///< ns a ticket holds after its owner was due
  static constexpr std::int64_t kLockWait = 100'000'000;  ///< ns
  static constexpr std::int64_t kNoLease = -1;
  static constexpr std::int64_t kMaxLeases = 64;
  /// 2 added leases.
  static constexpr std::uint32_t kVersion = 2;

  /// Open the file, or make it with mode 0600; missing folders are made with 0700.
  /// @param mono_ns, wall_ns  now
  /// @param boot_id           names this run of the machine; empty: as the kernel says
  /// @throws std::invalid_argument  for impossible meters
  /// @throws std::system_error      where the file system refuses
  /// @throws SharedStateError
  SharedRateLimiter(std::string path, std::vector<Meter> meters, std::int64_t calendar_offset_ns,
                    std::int64_t mono_ns, std::int64_t wall_ns, std::string boot_id = {});
  ~SharedRateLimiter();
  SharedRateLimiter(const SharedRateLimiter&) = delete;
  SharedRateLimiter& operator=(const SharedRateLimiter&) = delete;

  [[nodiscard]] std::size_t plan(const std::vector<RateLimiter::Cost>& costs);

  /// As RateLimiter::try_acquire, or kBusy, kForked, kBroken.
  /// @param arrival_ns  when the caller came, for its place among all waiters; a refusal leaves or renews its
  ///                    ticket, a grant removes it. kNoTicket: behind all who wait, and no ticket
  [[nodiscard]] std::int64_t try_acquire(std::int64_t mono_ns, std::int64_t wall_ns, std::size_t plan,
                                         Lane lane, std::int64_t arrival_ns = kNoTicket) noexcept;

  /// Remove this handle's ticket for the plan's meters, when nobody waits here any more.
  /// @return 0, kBusy, kForked or kBroken; so do the following
  [[nodiscard]] std::int64_t leave(std::size_t plan, Lane lane) noexcept;
  [[nodiscard]] std::int64_t refund(std::size_t plan, std::int64_t granted_mono_ns, Lane lane) noexcept;
  [[nodiscard]] std::int64_t penalise(std::string_view meter, std::int64_t until_mono_ns);
  [[nodiscard]] std::int64_t use(std::int64_t mono_ns, std::int64_t wall_ns,
                                 std::vector<MeterUse>& uses) noexcept;

  /// Take a lease where living processes hold fewer than `most`, at most kMaxLeases. Reads /proc.
  /// @return its number, kNoLease, or as above
  [[nodiscard]] std::int64_t lease(std::int64_t most) noexcept;
  /// Give a lease of this handle back; one that is not its own is left alone.
  [[nodiscard]] std::int64_t release(std::int64_t number) noexcept;
  /// Who holds leases now, the dead left out; in the order in which they first appear.
  [[nodiscard]] std::int64_t lease_holders(std::vector<LeaseHolder>& holders);

  [[nodiscard]] const std::vector<Meter>& meters() const noexcept;
  [[nodiscard]] std::size_t plan_count() const noexcept;
  [[nodiscard]] std::string_view beyond_lane_0(std::size_t plan) const noexcept;
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// How often a dead holder's lock was taken over since the file was made.
  [[nodiscard]] std::int64_t recoveries() const noexcept;

 private:
  struct File;

  std::string path_;
  std::unique_ptr<File> file_;
};

}  // namespace dragoman

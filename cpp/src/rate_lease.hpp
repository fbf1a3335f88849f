#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace dragoman {

/// One thing of which only so many may be held at once, and the process that holds it; `owner` 0 is a free
/// place.
struct Lease {
  std::uint64_t owner;  // of the handle: random
  std::int64_t pid;
  std::int64_t start;  // of the process, as process_start() says: tells it from a later one of the same id
};

/// The leases in the shared file.
///
/// Theory. A place counts while its holder lives; the dead are found when somebody asks for a place, so
/// nobody has to wake up for them. `owner` is written last when a place is taken and first when it is freed:
/// a writer killed in between leaves a free place, never half a lease. Belongs under the file's lock.
struct LeaseTable {
  static constexpr std::size_t kPlaces = 64;
  static constexpr std::int64_t kNone = -1;

  std::array<Lease, kPlaces> places;

  /// Free the places of the dead, and take one where fewer than `most` are left held.
  /// @return its number, or kNone
  [[nodiscard]] std::int64_t take(std::uint64_t owner, std::int64_t most) noexcept;
  /// Free a place of this owner; another's, or none, is left alone.
  void free(std::uint64_t owner, std::int64_t number) noexcept;
  void free_all_of(std::uint64_t owner) noexcept;
  void free_dead() noexcept;
};

/// When a process began, in clock ticks after the machine did.
/// @return 0 where the kernel does not say, -1 where there is no such process or it is a zombie
std::int64_t process_start(std::int64_t pid) noexcept;

}  // namespace dragoman

#pragma once

#include <cstdint>

namespace dragoman {

/// Says whether a numbered message follows the last one, by a rule given as data.
///
/// Theory: venues number messages in three ways: plain (n, n+1), ranged (first..last must
/// start right after the previous last), and linked (each names its predecessor). All three are
/// "expected == previous" once the message says what it expects, so one integer is the whole state.
///
/// A message that starts before the last number and ends after it follows too: a snapshot may fall
/// into the middle of a range, and levels carry absolute quantities, so what overlaps is said twice.
/// A gap leaves the state alone; only reset() or adopt() heals it.
///
/// Threads: unsynchronised; owned by one book. Allocates nothing. O(1).
class SequenceGuard {
 public:
  enum class Verdict : std::uint8_t { kFollows, kDuplicate, kGap };

  /// @param last  number of the snapshot the stream must continue from
  void reset(std::int64_t last) noexcept {
    last_ = last;
    adopt_ = false;
  }

  /// Take the next message's number as it comes: the snapshot before it carried none.
  void adopt() noexcept { adopt_ = true; }

  /// @param expected  the number this message says it follows
  /// @param last      the number it ends on
  [[nodiscard]] Verdict check(std::int64_t expected, std::int64_t last) noexcept;

  /// Number of the last message that followed, or of the snapshot.
  [[nodiscard]] std::int64_t last() const noexcept { return last_; }

 private:
  std::int64_t last_ = 0;
  bool adopt_ = false;
};

}  // namespace dragoman

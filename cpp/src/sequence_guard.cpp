#include "dragoman/sequence_guard.hpp"

namespace dragoman {

SequenceGuard::Verdict SequenceGuard::check(std::int64_t expected, std::int64_t last) noexcept {
  // Equality comes first: a linked venue that restarts its numbers names its predecessor and then ends lower.
  if (adopt_ || expected == last_) {
    reset(last);
    return Verdict::kFollows;
  }
  if (last <= last_) return Verdict::kDuplicate;
  if (expected > last_) return Verdict::kGap;
  last_ = last;
  return Verdict::kFollows;
}

}  // namespace dragoman

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dragoman/blake2b.hpp"

namespace dragoman {

/// Where a walk over the records of a journal chunk stands.
struct JournalRun {
  std::size_t offset = 0;      ///< of the next record
  std::uint64_t sequence = 0;  ///< of the last one
  Hash16 hash{};               ///< of the last one
  std::int64_t newest_ns = 0;  ///< latest time of any
  std::uint64_t count = 0;     ///< how many there were
  std::uint16_t kind = 0;      ///< of the last one, 0 where there was none
};

/// Step over records for as long as each is whole, follows the one before, belongs to `epoch` and is not of
/// kind `stop_kind`; stop before the first that does not, whatever is wrong with it.
///
/// Theory: a journal is read in full whenever it is opened, and nearly all of it is as it was written. This
/// walks that part; judging what is not is left to the caller. The layout is documented in
/// orders/journal/format.py.
///
/// Reads only inside `chunk`. Allocates nothing, any thread, O(bytes walked).
[[nodiscard]] JournalRun journal_run(std::span<const std::byte> chunk, JournalRun from, std::uint32_t epoch,
                                     std::uint16_t stop_kind) noexcept;

}  // namespace dragoman

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "dragoman/blake2b.hpp"

namespace dragoman {

inline constexpr std::size_t kJournalRecordHead = 56;

/// What stands in the head of a journal record besides its length and checksum.
struct JournalHead {
  std::uint64_t sequence = 0;
  std::int64_t time_ns = 0;
  std::uint32_t epoch = 0;
  std::uint16_t kind = 0;
  std::string_view run;  ///< five bytes
  Hash16 previous{};     ///< of the record before
};

/// How many bytes a record takes with a payload of `length` bytes.
[[nodiscard]] constexpr std::size_t journal_record_size(std::size_t length) noexcept {
  return kJournalRecordHead + ((length + 7) & ~std::size_t{7});
}

/// Write a record into `out`, which has exactly `journal_record_size` bytes, and return its hash.
///
/// The layout is documented in orders/journal/format.py. Allocates nothing, any thread, O(bytes).
[[nodiscard]] Hash16 write_journal_record(std::span<std::byte> out, const JournalHead& head,
                                          std::string_view payload) noexcept;

/// The first half of that: all but the checksum. It waits for `seal_journal_record`.
void lay_out_journal_record(std::span<std::byte> out, const JournalHead& head,
                            std::string_view payload) noexcept;

/// The second: put in the hash of the record before and the checksum, and return the hash of this one.
[[nodiscard]] Hash16 seal_journal_record(std::span<std::byte> record, const Hash16& previous) noexcept;

}  // namespace dragoman

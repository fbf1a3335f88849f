#include "dragoman/journal_record.hpp"

#include <bit>
#include <cstring>

#include "dragoman/crc32c.hpp"

namespace dragoman {

namespace {

static_assert(std::endian::native == std::endian::little, "integers are written as they lie in memory");

template <class T>
void put(std::byte* at, T value) noexcept {
  std::memcpy(at, &value, sizeof value);
}

}  // namespace

void lay_out_journal_record(std::span<std::byte> out, const JournalHead& head,
                            std::string_view payload) noexcept {
  std::byte* at = out.data();
  std::memset(at, 0, kJournalRecordHead);
  put(at + 4, static_cast<std::uint32_t>(payload.size()));
  put(at + 8, head.sequence);
  put(at + 16, head.time_ns);
  put(at + 24, head.epoch);
  put(at + 28, head.kind);
  std::memcpy(at + 30, head.run.data(), 5);
  std::memcpy(at + 40, head.previous.data(), head.previous.size());
  at += kJournalRecordHead;
  std::memcpy(at, payload.data(), payload.size());
  std::memset(at + payload.size(), 0, out.size() - kJournalRecordHead - payload.size());
}

Hash16 seal_journal_record(std::span<std::byte> record, const Hash16& previous) noexcept {
  std::byte* const at = record.data();
  std::memcpy(at + 40, previous.data(), previous.size());
  put(at, crc32c(at + 4, record.size() - 4));
  return blake2b_16(at, record.size());
}

Hash16 write_journal_record(std::span<std::byte> out, const JournalHead& head,
                            std::string_view payload) noexcept {
  lay_out_journal_record(out, head, payload);
  return seal_journal_record(out, head.previous);
}

}  // namespace dragoman

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

Hash16 write_journal_record(std::span<std::byte> out, const JournalHead& head,
                            std::string_view payload) noexcept {
  std::byte* at = out.data();
  std::memset(at, 0, 56);
  put(at + 4, static_cast<std::uint32_t>(payload.size()));
  put(at + 8, head.sequence);
  put(at + 16, head.time_ns);
  put(at + 24, head.epoch);
  put(at + 28, head.kind);
  std::memcpy(at + 30, head.run.data(), 5);
  std::memcpy(at + 40, head.previous.data(), head.previous.size());
  std::memcpy(at + 56, payload.data(), payload.size());
  std::memset(at + 56 + payload.size(), 0, out.size() - 56 - payload.size());
  put(at, crc32c(at + 4, out.size() - 4));
  return blake2b_16(at, out.size());
}

}  // namespace dragoman

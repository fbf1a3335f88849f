#include "dragoman/journal_run.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "dragoman/crc32c.hpp"

namespace dragoman {

namespace {

static_assert(std::endian::native == std::endian::little, "integers are read as they lie in memory");

constexpr std::size_t kRecord = 56;
constexpr std::size_t kShortest = 2;  // "{}"

template <class T>
T read(const std::byte* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

}  // namespace

JournalRun journal_run(std::span<const std::byte> chunk, JournalRun from, std::uint32_t epoch,
                       std::uint16_t stop_kind) noexcept {
  JournalRun run = from;
  while (run.offset <= chunk.size() && chunk.size() - run.offset >= kRecord) {
    const std::byte* record = chunk.data() + run.offset;
    const std::size_t room = chunk.size() - run.offset - kRecord;
    const std::size_t length = read<std::uint32_t>(record + 4);
    const std::size_t padded = (length + 7) & ~std::size_t{7};
    if (length < kShortest || padded > room) {
      break;
    }
    const auto kind = read<std::uint16_t>(record + 28);
    if (read<std::uint64_t>(record + 8) != run.sequence + 1 || read<std::uint32_t>(record + 24) != epoch ||
        kind == stop_kind || std::memcmp(record + 40, run.hash.data(), run.hash.size()) != 0 ||
        crc32c(record + 4, kRecord + padded - 4) != read<std::uint32_t>(record)) {
      break;
    }
    run.hash = blake2b_16(record, kRecord + padded);
    run.newest_ns = std::max(run.newest_ns, read<std::int64_t>(record + 16));
    run.kind = kind;
    run.offset += kRecord + padded;
    ++run.sequence;
    ++run.count;
  }
  return run;
}

}  // namespace dragoman

#include "dragoman/crc32c.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define DRAGOMAN_CRC32C_SSE42 1
#include <nmmintrin.h>
#endif

namespace dragoman {

// Theory: the checksum is the remainder of the message, as a polynomial over GF(2), by 0x1EDC6F41 (bits
// reversed: 0x82F63B78), started at all ones and inverted at the end. A table holds the remainder of one
// byte; with eight tables, one for each distance from the end of a word, eight bytes are folded in by eight
// independent look-ups ("slicing by 8"). The instruction does the same division for a word in three cycles.

namespace {

constexpr std::uint32_t kReversed = 0x82F63B78U;

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value >> 1) ^ ((value & 1U) != 0U ? kReversed : 0U);
    }
    tables[0][byte] = value;
  }
  for (std::size_t distance = 1; distance < 8; ++distance) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t nearer = tables[distance - 1][byte];
      tables[distance][byte] = (nearer >> 8) ^ tables[0][nearer & 0xFFU];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

std::uint32_t one_byte(std::uint32_t state, unsigned char byte) noexcept {
  return (state >> 8) ^ kTables[0][(state ^ byte) & 0xFFU];
}

std::uint32_t by_tables(std::uint32_t state, const unsigned char* at, std::size_t size) noexcept {
  for (; size >= 8; at += 8, size -= 8) {
    const std::uint32_t low = state ^ (std::uint32_t{at[0]} | std::uint32_t{at[1]} << 8 |
                                       std::uint32_t{at[2]} << 16 | std::uint32_t{at[3]} << 24);
    state = kTables[7][low & 0xFFU] ^ kTables[6][(low >> 8) & 0xFFU] ^ kTables[5][(low >> 16) & 0xFFU] ^
            kTables[4][low >> 24] ^ kTables[3][at[4]] ^ kTables[2][at[5]] ^ kTables[1][at[6]] ^
            kTables[0][at[7]];
  }
  for (; size > 0; ++at, --size) {
    state = one_byte(state, *at);
  }
  return state;
}

#ifdef DRAGOMAN_CRC32C_SSE42

__attribute__((target("sse4.2"))) std::uint32_t by_instruction(std::uint32_t state, const unsigned char* at,
                                                               std::size_t size) noexcept {
  std::uint64_t wide = state;
  for (; size >= 8; at += 8, size -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, sizeof word);
    wide = _mm_crc32_u64(wide, word);
  }
  state = static_cast<std::uint32_t>(wide);
  for (; size > 0; ++at, --size) {
    state = _mm_crc32_u8(state, *at);
  }
  return state;
}

bool ask_processor() noexcept {
  __builtin_cpu_init();
  return __builtin_cpu_supports("sse4.2") != 0;
}

const bool kInHardware = ask_processor();

#else

constexpr bool kInHardware = false;

std::uint32_t by_instruction(std::uint32_t state, const unsigned char* at, std::size_t size) noexcept {
  return by_tables(state, at, size);
}

#endif

}  // namespace

std::uint32_t crc32c(const void* data, std::size_t size, std::uint32_t seed) noexcept {
  const auto* at = static_cast<const unsigned char*>(data);
  return ~(kInHardware ? by_instruction(~seed, at, size) : by_tables(~seed, at, size));
}

std::uint32_t crc32c_tables(const void* data, std::size_t size, std::uint32_t seed) noexcept {
  return ~by_tables(~seed, static_cast<const unsigned char*>(data), size);
}

bool crc32c_in_hardware() noexcept {
  return kInHardware;
}

}  // namespace dragoman

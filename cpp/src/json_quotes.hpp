#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace dragoman::json {

/// How many bytes the quotes of a text take.
constexpr std::size_t quote_bytes(std::size_t size) noexcept {
  return size / 8 + 16;
}

/// Note where the quotes of a text stand: a bit for each byte. False where that says nothing of its parts: it
/// has escapes or control characters (line ends among them).
///
/// Otherwise every quote opens or closes a text, and what lies between the two needs no further look.
/// @param text  padded with 16 readable bytes  @param out  room for quote_bytes(size)
bool note_quotes(const std::uint8_t* text, std::size_t size, std::uint8_t* out) noexcept;

/// The first bytes of a word, by how many.
inline constexpr std::uint64_t kFirstBytes[] = {0,
                                                0xFF,
                                                0xFFFF,
                                                0xFFFFFF,
                                                0xFFFFFFFF,
                                                0xFFFFFFFFFF,
                                                0xFFFFFFFFFFFF,
                                                0xFFFFFFFFFFFFFF,
                                                0xFFFFFFFFFFFFFFFF};

/// Whether these two bytes stand here.
[[gnu::always_inline]] inline bool stands(const std::uint8_t* at, char first, char second) noexcept {
  std::uint16_t pair;
  std::memcpy(&pair, at, sizeof pair);
  return pair == (static_cast<unsigned char>(first) | static_cast<unsigned char>(second) << 8);
}

/// The bits from a place on, at least 57 of them.
[[gnu::always_inline]] inline std::uint64_t quotes_at(const std::uint8_t* bits, std::size_t place) noexcept {
  std::uint64_t word;
  std::memcpy(&word, bits + place / 8, sizeof word);
  return word >> (place % 8);
}

}  // namespace dragoman::json

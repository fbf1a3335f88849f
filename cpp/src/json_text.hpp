#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "json_number.hpp"

/// Where texts and numbers of JSON end, looked for in 16 bytes at a time. What lies behind the text is
/// readable.
namespace dragoman::json {

inline bool is_digit(std::uint8_t byte) noexcept {
  return static_cast<unsigned>(byte - '0') < 10;
}

inline bool is_hex(std::uint8_t byte) noexcept {
  return is_digit(byte) || static_cast<unsigned>((byte | 0x20) - 'a') < 6;
}

#if defined(__SSE2__)
inline constexpr unsigned kRun = 16;

/// Which of the 16 bytes at `at` end plain text: quotes, backslashes and control characters.
[[gnu::always_inline]] inline std::uint32_t text_stops(const std::uint8_t* at) noexcept {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  const __m128i marks =
      _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
  const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
  return static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_or_si128(marks, low)));
}

/// Whether plain text of up to 31 bytes ends behind so many, found without their count as a link in the chain
/// from one value to the next.
[[gnu::always_inline]] inline bool ends_after(const std::uint8_t* at, unsigned size) noexcept {
  const std::uint32_t stops = size < 16 ? text_stops(at) : text_stops(at) | text_stops(at + 16) << 16;
  return (stops & ((std::uint32_t{2} << size) - 1)) == std::uint32_t{1} << size;
}

/// How many of the bytes at `at` are plain text: up to `kRun`, no quote, backslash or control character.
[[gnu::always_inline]] inline unsigned plain_run(const std::uint8_t* at) noexcept {
  return static_cast<unsigned>(__builtin_ctz(text_stops(at) | 1u << kRun));
}

/// The size of a plain number at `at`, up to 15 bytes without sign and exponent; 0 where a closer look is
/// due.
[[gnu::always_inline]] inline unsigned plain_number(const std::uint8_t* at) noexcept {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  const __m128i values = _mm_sub_epi8(bytes, _mm_set1_epi8('0'));
  const auto digits = static_cast<unsigned>(
      _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(values, _mm_set1_epi8(9)), values)));
  const auto points = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('.'))));
  const auto size = static_cast<unsigned>(__builtin_ctz(~(digits | points)));
  const unsigned point = points & ((1u << size) - 1);
  const bool framed = (digits & 1) != 0 && (digits << 1 >> size & 1) != 0;
  const bool zero_first = *at == '0' && (digits & 2) != 0;
  return framed && (point & (point - 1)) == 0 && !zero_first && size < 16 && (at[size] | 0x20) != 'e' ? size
                                                                                                      : 0;
}
#else
inline constexpr unsigned kRun = 8;

[[gnu::always_inline]] inline unsigned plain_run(const std::uint8_t* at) noexcept {
  constexpr std::uint64_t kOnes = 0x0101010101010101u;
  const std::uint64_t word = load8(at);
  const std::uint64_t quote = word ^ (kOnes * '"');
  const std::uint64_t slash = word ^ (kOnes * '\\');
  // A bit in each byte that stops, right up to the first one.
  const std::uint64_t stops =
      (((quote - kOnes) & ~quote) | ((slash - kOnes) & ~slash) | ((word - kOnes * 0x20) & ~word)) &
      0x8080808080808080u;
  return stops == 0 ? 8 : static_cast<unsigned>(__builtin_ctzll(stops)) / 8;
}

[[gnu::always_inline]] inline bool ends_after(const std::uint8_t*, unsigned) noexcept {
  return false;
}

[[gnu::always_inline]] inline unsigned plain_number(const std::uint8_t*) noexcept {
  return 0;
}
#endif

}  // namespace dragoman::json

#include "json_quotes.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace dragoman::json {

#if defined(__SSE2__)
namespace {

constexpr std::size_t kBlock = 64;

__m128i load16(const std::uint8_t* at) noexcept {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

__m128i escapes(__m128i bytes) noexcept {
  return _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
}

__m128i controls(__m128i bytes) noexcept {
  return _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
}

std::uint64_t bits(__m128i bytes) noexcept {
  return static_cast<std::uint32_t>(_mm_movemask_epi8(bytes));
}

std::uint64_t quotes(__m128i bytes) noexcept {
  return bits(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
}

}  // namespace

bool note_quotes(const std::uint8_t* text, std::size_t size, std::uint8_t* out) noexcept {
  __m128i escaped = _mm_setzero_si128();
  __m128i least = _mm_set1_epi8(' ');
  std::size_t at = 0;
  for (; at + kBlock <= size; at += kBlock) {
    const __m128i a = load16(text + at);
    const __m128i b = load16(text + at + 16);
    const __m128i c = load16(text + at + 32);
    const __m128i d = load16(text + at + 48);
    escaped = _mm_or_si128(
        escaped, _mm_or_si128(_mm_or_si128(escapes(a), escapes(b)), _mm_or_si128(escapes(c), escapes(d))));
    least = _mm_min_epu8(least, _mm_min_epu8(_mm_min_epu8(a, b), _mm_min_epu8(c, d)));
    const std::uint64_t all = quotes(a) | quotes(b) << 16 | quotes(c) << 32 | quotes(d) << 48;
    std::memcpy(out + at / 8, &all, sizeof all);
  }
  std::uint64_t strange = bits(_mm_or_si128(escaped, controls(least)));
  for (; at < size; at += 16) {
    const __m128i bytes = load16(text + at);
    const std::uint64_t inside = size - at >= 16 ? 0xFFFF : (std::uint64_t{1} << (size - at)) - 1;
    strange |= bits(_mm_or_si128(escapes(bytes), controls(bytes))) & inside;
    const std::uint64_t all = quotes(bytes) & inside;
    std::memcpy(out + at / 8, &all, sizeof all);
  }
  std::memset(out + at / 8, 0, 8);
  return strange == 0;
}
#else
bool note_quotes(const std::uint8_t*, std::size_t, std::uint8_t*) noexcept {
  return false;
}
#endif

}  // namespace dragoman::json

#include "json_quotes.hpp"

#include <algorithm>
#include <bit>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace dragoman::json {

#if defined(__SSE2__)
namespace {

constexpr std::size_t kBlock = 64;
constexpr std::uint64_t kTop = std::uint64_t{1} << 63;  ///< spares counting the zeros of nothing its own case

__m128i load16(const std::uint8_t* at) noexcept {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

/// Escapes and control characters.
__m128i marks(__m128i bytes) noexcept {
  return _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')),
                      _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes));
}

__m128i quotes(__m128i bytes) noexcept {
  return _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
}

std::uint64_t bits(__m128i bytes) noexcept {
  return static_cast<std::uint32_t>(_mm_movemask_epi8(bytes));
}

}  // namespace

bool note_quotes(const std::uint8_t* text, std::size_t size, std::uint32_t* out) noexcept {
  __m128i strange = _mm_setzero_si128();
  std::size_t at = 0;
  for (; at + kBlock <= size; at += kBlock) {
    const __m128i a = load16(text + at);
    const __m128i b = load16(text + at + 16);
    const __m128i c = load16(text + at + 32);
    const __m128i d = load16(text + at + 48);
    strange = _mm_or_si128(strange, _mm_or_si128(_mm_or_si128(marks(a), marks(b)), _mm_or_si128(marks(c), marks(d))));
    const __m128i qa = quotes(a), qb = quotes(b), qc = quotes(c), qd = quotes(d);
    std::uint64_t all = bits(qa) | bits(qb) << 16 | bits(qc) << 32 | bits(qd) << 48;
    // Their number: each is a byte of -1.
    const __m128i sums = _mm_sad_epu8(
        _mm_sub_epi8(_mm_setzero_si128(), _mm_add_epi8(_mm_add_epi8(qa, qb), _mm_add_epi8(qc, qd))),
        _mm_setzero_si128());
    const auto count = static_cast<std::size_t>(_mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4));
    // So many at once that their number is hardly ever a branch gone wrong; those too many are written over.
    const auto from = static_cast<std::uint32_t>(at);
    const auto put = [&](std::size_t first, std::size_t end) {
#pragma GCC unroll 16
      for (std::size_t i = first; i < end; ++i) {
        out[i] = from + static_cast<std::uint32_t>(__builtin_ctzll(all | kTop));
        all &= all - 1;
      }
    };
    put(0, 16);
    if (count > 16) [[unlikely]] {
      put(16, 24);
      for (std::size_t i = 24; i < count; ++i) {
        put(i, i + 1);
      }
    }
    out += count;
  }
  std::uint64_t rest_strange = bits(strange);
  for (; at < size; at += 16) {
    const __m128i bytes = load16(text + at);
    const std::uint64_t inside = size - at >= 16 ? 0xFFFF : (std::uint64_t{1} << (size - at)) - 1;
    rest_strange |= bits(marks(bytes)) & inside;
    for (std::uint64_t all = bits(quotes(bytes)) & inside; all != 0; all &= all - 1) {
      *out++ = static_cast<std::uint32_t>(at) + static_cast<std::uint32_t>(std::countr_zero(all));
    }
  }
  std::fill_n(out, kQuoteSentinels, static_cast<std::uint32_t>(size));
  return rest_strange == 0;
}
#else
bool note_quotes(const std::uint8_t*, std::size_t, std::uint32_t*) noexcept {
  return false;
}
#endif

}  // namespace dragoman::json

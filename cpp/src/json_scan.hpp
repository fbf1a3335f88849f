#pragma once

#include <cstdint>
#include <string>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "dragoman/json_decoder.hpp"
#include "json_rows.hpp"
#include "json_value.hpp"

namespace dragoman::json {

inline bool is_digit(std::uint8_t byte) noexcept {
  return static_cast<unsigned>(byte - '0') < 10;
}

inline bool is_hex(std::uint8_t byte) noexcept {
  return is_digit(byte) || static_cast<unsigned>((byte | 0x20) - 'a') < 6;
}

#if defined(__SSE2__)
inline constexpr unsigned kRun = 16;

/// How many of the bytes at `at` are plain text: up to `kRun`, no quote, backslash or control character.
[[gnu::always_inline]] inline unsigned plain_run(const std::uint8_t* at) noexcept {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  const __m128i marks =
      _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
  const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
  const auto stops = static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(marks, low)));
  return static_cast<unsigned>(__builtin_ctz(stops | 1u << kRun));
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

[[gnu::always_inline]] inline unsigned plain_number(const std::uint8_t*) noexcept {
  return 0;
}
#endif

/// Reads JSON along the tree of a layout and notes where the values stand.
///
/// The text ends with zeros, which stop every loop: no bounds are looked at. Functions take the place of a
/// value and return the place behind it, or null, with `failed` where it went wrong.
class JsonScanner {
 public:
  JsonScanner(const Layout& layout, Found& found, LevelSink& levels, std::string& scratch,
              const std::uint8_t* base, const std::uint32_t* quotes) noexcept
      : layout_(layout), found_(found), levels_(levels), scratch_(scratch), base_(base), quote_(quotes),
        first_quote_(quotes) {}

  static constexpr bool reads_text = true;
  const std::uint8_t* failed = nullptr;

  static const std::uint8_t* space(const std::uint8_t* at) noexcept {
    while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t') [[unlikely]] {
      ++at;
    }
    return at;
  }

  [[nodiscard]] static bool is_array(const std::uint8_t* at) noexcept { return *at == '['; }

  /// Read a value that a node asks for.
  const std::uint8_t* value(std::uint16_t node, const std::uint8_t* at, unsigned depth);
  /// Read a value that nobody asks for; checked all the same.
  const std::uint8_t* skip(const std::uint8_t* at, unsigned depth);
  /// Read rows of levels into the sink.
  const std::uint8_t* rows(const Shape& shape, const std::uint8_t* at, unsigned depth);

  /// Give `take` each element of an array, or each value of an object with its key as a capture (null for
  /// arrays). `take` returns the place behind the element.
  template <class Take>
  const std::uint8_t* elements(const std::uint8_t* at, Take take) {
    const bool object = *at == '{';
    const std::uint8_t close = object ? '}' : ']';
    at = space(at + 1);
    if (*at == close) {
      return at + 1;
    }
    for (;;) {
      Capture key{nullptr, 0};
      bool escaped = false;
      if (object) {
        if (*at != '"') {
          return fail(at);
        }
        const std::uint8_t* const end = text_end(at + 1, escaped);
        if (end == nullptr) {
          return nullptr;
        }
        key = {at + 1, static_cast<std::uint32_t>(end - at - 1)};
        if (at = space(end + 1); *at != ':') {
          return fail(at);
        }
        at = space(at + 1);
      }
      if (at = take(at, key, escaped ? Type::escaped_text : Type::text); at == nullptr) {
        return nullptr;
      }
      at = space(at);
      if (*at == close) {
        return at + 1;
      }
      if (*at != ',') {
        return fail(at);
      }
      at = space(at + 1);
    }
  }

 private:
  std::nullptr_t fail(const std::uint8_t* at) noexcept {
    failed = at;
    return nullptr;
  }

  /// The closing quote of a text that begins at `at`.
  const std::uint8_t* text_end(const std::uint8_t* at, bool& escaped) noexcept;
  const std::uint8_t* number_end(const std::uint8_t* at) noexcept;
  const std::uint8_t* leaf(const std::uint8_t* at, Type& type, Capture& capture, unsigned depth);
  const std::uint8_t* object(std::uint16_t index, const std::uint8_t* at, unsigned depth);
  const std::uint8_t* quoted_object(std::uint16_t index, const std::uint8_t* at, unsigned depth);
  const std::uint8_t* members(std::uint16_t index, const std::uint8_t* at, unsigned depth);
  const std::uint32_t* quotes_from(const std::uint8_t* at) noexcept;
  const std::uint8_t* skip_texts(const std::uint8_t* at) noexcept;
  const std::uint8_t* skip_key(const std::uint8_t* at) noexcept;
  const std::uint8_t* array(const Node& node, const std::uint8_t* at, unsigned depth);
  const std::uint8_t* row(const Shape& shape, const std::uint8_t* at, unsigned depth);
  const std::uint8_t* literal(const std::uint8_t* at, const char* rest) noexcept;
  const std::uint8_t* member(std::uint16_t index, const std::uint8_t* at, const Found::Known*& known);
  const std::uint8_t* new_member(std::uint16_t index, const std::uint8_t* at, const Found::Known*& known);

  const Layout& layout_;
  Found& found_;
  LevelSink& levels_;
  std::string& scratch_;
  const std::uint8_t* base_;           ///< the text
  const std::uint32_t* quote_;         ///< places of its quotes, near where it is read; null: not known
  const std::uint32_t* first_quote_;
  Found::Known this_{};  ///< a key that is not in the table
};

[[gnu::always_inline]] inline const std::uint8_t* JsonScanner::text_end(const std::uint8_t* at,
                                                                        bool& escaped) noexcept {
  for (;;) {
    const unsigned run = plain_run(at);
    at += run;
    if (run == kRun) [[unlikely]] {
      continue;
    }
    if (*at == '"') [[likely]] {
      return at;
    }
    if (*at != '\\') {
      return fail(at);
    }
    escaped = true;
    switch (at[1]) {
      case '"':
      case '\\':
      case '/':
      case 'b':
      case 'f':
      case 'n':
      case 'r':
      case 't':
        at += 2;
        break;
      case 'u':
        for (int i = 2; i < 6; ++i) {
          if (!is_hex(at[i])) {
            return fail(at + i);
          }
        }
        at += 6;
        break;
      default:
        return fail(at + 1);
    }
  }
}

}  // namespace dragoman::json

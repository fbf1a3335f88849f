#pragma once

#include <cstdint>
#include <string>

#include "dragoman/json_decoder.hpp"
#include "json_rows.hpp"
#include "json_value.hpp"

namespace dragoman::json {

inline constexpr std::uint64_t kOnes = 0x0101010101010101u;
inline constexpr std::uint64_t kHighs = 0x8080808080808080u;

inline bool is_digit(std::uint8_t byte) noexcept {
  return static_cast<unsigned>(byte - '0') < 10;
}

inline bool is_hex(std::uint8_t byte) noexcept {
  return is_digit(byte) || static_cast<unsigned>((byte | 0x20) - 'a') < 6;
}

/// A bit in each byte that ends a plain run of text, right up to the first one.
[[gnu::always_inline]] inline std::uint64_t stops_of(std::uint64_t word) noexcept {
  const std::uint64_t quote = word ^ (kOnes * '"');
  const std::uint64_t slash = word ^ (kOnes * '\\');
  return (((quote - kOnes) & ~quote) | ((slash - kOnes) & ~slash) | ((word - kOnes * 0x20) & ~word)) & kHighs;
}

/// Reads JSON along the tree of a layout and notes where the values stand.
///
/// The text ends with zeros, which stop every loop: no bounds are looked at. Functions take the place of a
/// value and return the place behind it, or null, with `failed` where it went wrong.
class JsonScanner {
 public:
  JsonScanner(const Layout& layout, Found& found, LevelSink& levels, std::string& scratch,
              const std::uint8_t*) noexcept
      : layout_(layout), found_(found), levels_(levels), scratch_(scratch) {}

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
  const std::uint8_t* skip_key(const std::uint8_t* at) noexcept;
  const std::uint8_t* array(const Node& node, const std::uint8_t* at, unsigned depth);
  const std::uint8_t* row(const Shape& shape, const std::uint8_t* at, unsigned depth);
  const std::uint8_t* literal(const std::uint8_t* at, const char* rest) noexcept;
  const std::uint8_t* member(std::uint16_t index, const std::uint8_t* at, Found::Next*& next,
                             std::uint16_t& key);
  const std::uint8_t* new_member(std::uint16_t index, const std::uint8_t* at, Found::Next*& next,
                                 std::uint16_t& key);

  const Layout& layout_;
  Found& found_;
  LevelSink& levels_;
  std::string& scratch_;
};

[[gnu::always_inline]] inline const std::uint8_t* JsonScanner::text_end(const std::uint8_t* at,
                                                                        bool& escaped) noexcept {
  for (;;) {
    const std::uint64_t stops = stops_of(load8(at));
    if (stops == 0) {
      at += 8;
      continue;
    }
    at += __builtin_ctzll(stops) / 8;
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

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

/// Decimals and times as text. All readers look at up to 16 bytes beyond the
/// text, which its owner pads.
namespace dragoman::json {

struct Day;

inline constexpr std::size_t kPadding = 32;

inline std::uint64_t load8(const std::uint8_t* at) noexcept {
  std::uint64_t word;
  std::memcpy(&word, at, 8);
  return word;
}

/// How many of the eight bytes at `at`, from the first, are digits.
[[gnu::always_inline]] inline unsigned digit_run(std::uint64_t word) noexcept {
  const std::uint64_t others = ((word & 0xF0F0F0F0F0F0F0F0u) ^ 0x3030303030303030u) |
                               (((word + 0x0606060606060606u) & 0xF0F0F0F0F0F0F0F0u) ^ 0x3030303030303030u);
  return others == 0 ? 8 : static_cast<unsigned>(__builtin_ctzll(others)) / 8;
}

/// The number of eight digits of 0 to 9, the first in the lowest byte.
[[gnu::always_inline]] inline std::uint32_t eight_digits(std::uint64_t word) noexcept {
  word = word * 10 + (word >> 8);
  const std::uint64_t pairs = word & 0x000000FF000000FFu;
  const std::uint64_t others = (word >> 16) & 0x000000FF000000FFu;
  return static_cast<std::uint32_t>((pairs * 0x000F424000000064u + others * 0x0000271000000001u) >> 32);
}

/// The number that the first `count` (1 to 8) bytes of `word` write.
[[gnu::always_inline]] inline std::uint64_t digits_of(std::uint64_t word, unsigned count) noexcept {
  return eight_digits((word - 0x3030303030303030u) << (64 - 8 * count));
}

inline constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                     1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
inline constexpr std::uint64_t kWholePowers[] = {1u,      10u,      100u,      1000u,      10000u,
                                                 100000u, 1000000u, 10000000u, 100000000u, 1000000000u};

/// Most digits whose every decimal float64 tells apart.
inline constexpr std::uint64_t kDigits15 = 1'000'000'000'000'000u;

/// mantissa * 10^-decimals, when `wide` is false.
struct Decimal {
  std::uint64_t mantissa = 0;
  std::int32_t decimals = 0;  ///< digits after the point, less the exponent
  bool negative = false;
  bool wide = false;      ///< more than 19 digits: the mantissa is not all of it
  bool canonical = true;  ///< no exponent, no leading zero: the decimals write it again
};

/// Read `-?digits[.digits][exponent]`, all of [begin, end); false where that is
/// not what stands there.
bool read_decimal(const std::uint8_t* begin, const std::uint8_t* end, Decimal& out) noexcept;

/// The common decimals: up to 15 digits before the point and up to 16 after,
/// none of them too many. Returns where it ends, null where the general way
/// must look.
[[gnu::always_inline]] inline const std::uint8_t* read_short(const std::uint8_t* at, std::uint64_t& mantissa,
                                                             unsigned& decimals) noexcept {
  std::uint64_t word = load8(at);
  unsigned run = digit_run(word);
  if (run == 0) [[unlikely]] {
    return nullptr;
  }
  const bool zero = *at == '0';
  std::uint64_t value = digits_of(word, run);
  unsigned all = run;
  at += run;
  if (run == 8) [[unlikely]] {
    word = load8(at);
    run = digit_run(word);
    if (run == 8) {
      return nullptr;
    }
    if (run != 0) {
      value = value * kWholePowers[run] + digits_of(word, run);
      all += run;
      at += run;
    }
  }
  if (zero && all > 1) [[unlikely]] {
    return nullptr;
  }
  decimals = 0;
  if (*at == '.') {
    word = load8(at + 1);
    run = digit_run(word);
    if (run == 0) [[unlikely]] {
      return nullptr;
    }
    value = value * kWholePowers[run] + digits_of(word, run);
    decimals = run;
    at += 1 + run;
    if (run == 8) {
      word = load8(at);
      run = digit_run(word);
      if (run == 8) [[unlikely]] {
        return nullptr;
      }
      if (run != 0) {
        value = value * kWholePowers[run] + digits_of(word, run);
        decimals += run;
        at += run;
      }
    }
  }
  if (all + decimals > 18) [[unlikely]] {
    return nullptr;
  }
  mantissa = value;
  return at;
}

/// The shortest decimals, up to 8 bytes before the `stop` (a quote): digits
/// with at most one point among them, read as one number. Returns where the
/// stop is, null where the general way must look.
[[gnu::always_inline]] inline const std::uint8_t* read_quoted(const std::uint8_t* at, std::uint64_t& mantissa,
                                                              unsigned& decimals) noexcept {
  constexpr std::uint64_t kOnes = 0x0101010101010101u;
  constexpr std::uint64_t kHighs = 0x8080808080808080u;
  const std::uint64_t word = load8(at);
  const std::uint64_t quotes = word ^ (kOnes * '"');
  const std::uint64_t points = word ^ (kOnes * '.');
  const std::uint64_t quote = (quotes - kOnes) & ~quotes & kHighs;
  const std::uint64_t point = (points - kOnes) & ~points & kHighs;
  if (quote == 0) {
    return nullptr;
  }
  const unsigned size = static_cast<unsigned>(__builtin_ctzll(quote)) / 8;
  const unsigned place = point == 0 ? 8 : static_cast<unsigned>(__builtin_ctzll(point)) / 8;
  if (place < size) {
    const std::uint64_t below = (std::uint64_t{1} << (8 * place)) - 1;
    const std::uint64_t squeezed = (word & below) | ((word >> 8) & ~below);
    if (digit_run(squeezed) != size - 1 || place == 0 || place + 1 == size || (place > 1 && *at == '0')) {
      return nullptr;
    }
    mantissa = digits_of(squeezed, size - 1);
    decimals = size - 1 - place;
    return at + size;
  }
  if (size == 0 || digit_run(word) != size || (size > 1 && *at == '0')) {
    return nullptr;
  }
  mantissa = digits_of(word, size);
  decimals = 0;
  return at + size;
}

/// The same for a decimal of known size, 1 to 8 bytes; false where the general
/// way must look.
[[gnu::always_inline]] inline bool read_sized(const std::uint8_t* at, unsigned size, std::uint64_t& mantissa,
                                              unsigned& decimals) noexcept {
  constexpr std::uint64_t kOnes = 0x0101010101010101u;
  constexpr std::uint64_t kHighs = 0x8080808080808080u;
  const std::uint64_t word = load8(at);
  const std::uint64_t points = word ^ (kOnes * '.');
  const std::uint64_t point = (points - kOnes) & ~points & kHighs;
  const unsigned place = point == 0 ? 8 : static_cast<unsigned>(__builtin_ctzll(point)) / 8;
  std::uint64_t digits = word;
  decimals = 0;
  if (place < size) {
    const std::uint64_t below = (std::uint64_t{1} << (8 * place)) - 1;
    digits = (word & below) | ((word >> 8) & ~below);
    --size;
    decimals = size - place;
    if (place == 0 || decimals == 0) {
      return false;
    }
  }
  if (digit_run(digits) < size) {
    return false;
  }
  mantissa = digits_of(digits, size);
  return true;
}

/// A number of up to 7 bytes in one word: its mantissa, how many decimals, and a bit that says that it is
/// one.
struct ShortNumber {
  static constexpr unsigned kMost = 7;  ///< bytes
  static constexpr unsigned kDecimalsAt = 28;
  static constexpr std::uint32_t kIs = std::uint32_t{1} << 31;

  static std::uint32_t mantissa(std::uint32_t digits) noexcept {
    return digits & ((std::uint32_t{1} << kDecimalsAt) - 1);
  }
  static unsigned decimals(std::uint32_t digits) noexcept { return digits >> kDecimalsAt & 7; }

  /// Read a number literal of JSON of 1 to kMost bytes that begins with a digit; 0 where a closer look is
  /// due. Numbers with and without a point take the same way: which comes next cannot be foretold.
  /// @param at  what follows the number is no digit
  [[gnu::always_inline]] static std::uint32_t read(const std::uint8_t* at, unsigned size) noexcept {
    constexpr std::uint64_t kOnes = 0x0101010101010101u;
    constexpr std::uint64_t kHighs = 0x8080808080808080u;
    const std::uint64_t word = load8(at);
    const std::uint64_t points = word ^ (kOnes * '.');
    // A bit for each point, right up to the first; the last byte of the word stands for none.
    const std::uint64_t point = ((points - kOnes) & ~points & kHighs) | std::uint64_t{1} << 63;
    const std::uint64_t below = (point ^ (point - 1)) >> 8;
    const int behind = static_cast<int>(size) - 1 - (__builtin_ctzll(point) >> 3);
    const int whole = behind >> 31;  // all ones where there is no point among the bytes
    const auto decimals = static_cast<unsigned>(behind & ~whole);
    const unsigned count = size - 1 - static_cast<unsigned>(whole);
    const std::uint64_t digits = (((word & below) | ((word >> 8) & ~below)) - kOnes * '0')
                                 << (64 - 8 * count);
    const bool padded = (word & 0xF0FF) == 0x3030;  // a zero and a digit
    if (((digits | (digits + kOnes * 0x76)) & kHighs) != 0 || behind == 0 || padded) [[unlikely]] {
      return 0;
    }
    return eight_digits(digits) | decimals << kDecimalsAt | kIs;
  }
};

/// The float64 nearest to the decimal, divided by 10^exponent first. False
/// where it is beyond float64, or where a decimal of more than 19 digits should
/// be divided.
bool nearest(const Decimal& decimal, const std::uint8_t* begin, const std::uint8_t* end, int exponent,
             double& out) noexcept;

/// A number that its decimals write again: at most 15 significant digits, no
/// exponent, no leading zeros. False: it cannot be; nothing was rounded.
bool exact_level(const Decimal& decimal, int exponent, double& value, std::uint8_t& decimals) noexcept;

/// count * unit + part where that is an int64 that can be told from kAbsentInt.
inline bool join(std::int64_t count, std::int64_t unit, std::int64_t part, std::int64_t& out) noexcept {
  const __int128 all = static_cast<__int128>(count) * unit + part;
  out = static_cast<std::int64_t>(all);
  return out == all && out != INT64_MIN;
}

/// A whole number of 1 to 16 digits; false where the general way must look.
[[gnu::always_inline]] inline bool read_whole(const std::uint8_t* at, unsigned size,
                                              std::int64_t& out) noexcept {
  const std::uint64_t word = load8(at);
  if (size <= 8) {
    out = static_cast<std::int64_t>(digits_of(word, size));
    return digit_run(word) >= size;
  }
  const std::uint64_t behind = load8(at + size - 8);
  out = static_cast<std::int64_t>(digits_of(word, size - 8) * kWholePowers[8] + digits_of(behind, 8));
  return digit_run(word) == 8 && digit_run(behind) == 8;
}

/// A whole number of 64 bits, all of [begin, end).
bool read_integer(const std::uint8_t* begin, const std::uint8_t* end, std::int64_t& out) noexcept;

/// Epoch time in units of `unit_ns`, whole or decimal; digits beyond the
/// nanosecond are cut.
bool read_epoch(const std::uint8_t* begin, const std::uint8_t* end, std::int64_t unit_ns,
                std::int64_t& out) noexcept;

/// RFC 3339 with up to 9 digits of a second, as ns since the epoch. `known` is
/// read and kept.
bool read_rfc3339(const std::uint8_t* begin, const std::uint8_t* end, Day& known, std::int64_t& out) noexcept;

}  // namespace dragoman::json

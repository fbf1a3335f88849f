#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <limits>

#include "dragoman/packed_layout.hpp"

/// Reading wire values and turning mantissas into the nearest float64. Everything here is inline and
/// allocates nothing.
namespace dragoman::packed {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr std::int64_t kExactMantissa = std::int64_t{1} << 53;

static_assert(std::endian::native == std::endian::little,
              "records are stored little endian; this host is not");

template <class T, bool Big>
[[gnu::always_inline]] inline T load(const std::uint8_t* at) noexcept {
  if constexpr (std::floating_point<T>) {
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    return std::bit_cast<T>(load<Bits, Big>(at));
  } else {
    T value;
    std::memcpy(&value, at, sizeof value);
    if constexpr (Big && sizeof(T) == 2) {
      value = static_cast<T>(__builtin_bswap16(static_cast<std::uint16_t>(value)));
    } else if constexpr (Big && sizeof(T) == 4) {
      value = static_cast<T>(__builtin_bswap32(static_cast<std::uint32_t>(value)));
    } else if constexpr (Big && sizeof(T) == 8) {
      value = static_cast<T>(__builtin_bswap64(static_cast<std::uint64_t>(value)));
    }
    return value;
  }
}

/// An integer of any wire type, sign-extended; a u64 keeps its bits.
template <bool Big>
inline std::int64_t load_integer(Wire wire, const std::uint8_t* at) noexcept {
  switch (wire) {
    case Wire::i8:
      return load<std::int8_t, Big>(at);
    case Wire::u8:
      return load<std::uint8_t, Big>(at);
    case Wire::i16:
      return load<std::int16_t, Big>(at);
    case Wire::u16:
      return load<std::uint16_t, Big>(at);
    case Wire::i32:
      return load<std::int32_t, Big>(at);
    case Wire::u32:
      return load<std::uint32_t, Big>(at);
    default:
      return load<std::int64_t, Big>(at);
  }
}

template <bool Big>
inline std::uint64_t load_part(const Load& part, const std::uint8_t* at) noexcept {
  return (static_cast<std::uint64_t>(load_integer<Big>(part.wire, at + part.offset)) & part.mask)
         << part.shift;
}

/// The same, with the types that lengths and codes mostly have tried first: a branch that is always predicted
/// costs less than the jump table of the general case.
template <bool Big>
[[gnu::always_inline]] inline std::uint64_t load_short(const Load& part, const std::uint8_t* at) noexcept {
  std::uint64_t value;
  if (part.wire == Wire::u16) {
    value = load<std::uint16_t, Big>(at + part.offset);
  } else if (part.wire == Wire::u8) {
    value = at[part.offset];
  } else {
    return load_part<Big>(part, at);
  }
  return (value & part.mask) << part.shift;
}

inline std::uint64_t load_part(const Load& part, const std::uint8_t* at, bool big) noexcept {
  return big ? load_part<true>(part, at) : load_part<false>(part, at);
}

/// ASCII decimal, NUL or blank padded. False for no digit, another character, or more than 18 digits.
inline bool load_digits(const std::uint8_t* at, std::size_t width, std::uint64_t& value) noexcept {
  std::size_t i = 0;
  while (i < width && at[i] == ' ') {
    ++i;
  }
  const std::size_t first = i;
  value = 0;
  for (; i < width && at[i] >= '0' && at[i] <= '9'; ++i) {
    if (i - first >= 18) {
      return false;
    }
    value = value * 10 + (at[i] - std::uint8_t{'0'});
  }
  if (i == first) {
    return false;
  }
  while (i < width && at[i] == ' ') {
    ++i;
  }
  return i == width || at[i] == 0;
}

/// The float64 nearest to magnitude / divisor, for mantissas that a double cannot hold. Needs divisor < 2^63.
double divide_exactly(std::uint64_t magnitude, bool negative, std::uint64_t divisor) noexcept;

/// The float64 nearest to the decimal that `value` has when written with `digits` digits, for products beyond
/// 2^51.
double round_slowly(double value, int digits) noexcept;

template <std::integral T>
[[gnu::always_inline]] inline double divide(T mantissa, const Divisor& by) noexcept {
  if constexpr (sizeof(T) == 8) {
    if constexpr (std::is_signed_v<T>) {
      if (mantissa > kExactMantissa || mantissa < -kExactMantissa) [[unlikely]] {
        const bool negative = mantissa < 0;
        const auto bits = static_cast<std::uint64_t>(mantissa);
        return divide_exactly(negative ? ~bits + 1 : bits, negative, by.exact);
      }
    } else if (mantissa > static_cast<std::uint64_t>(kExactMantissa)) [[unlikely]] {
      return divide_exactly(mantissa, false, by.exact);
    }
    return static_cast<double>(static_cast<std::int64_t>(mantissa)) / by.value;
  } else {
    return static_cast<double>(mantissa) / by.value;
  }
}

template <std::integral T>
[[gnu::always_inline]] inline double widen(T value) noexcept {
  return static_cast<double>(value);
}

/// The float64 nearest to the decimal of `digits` digits next to `value`, ties to even as printing does.
/// Adding 2^52 * 1.5 rounds to an integer without leaving the SSE2 baseline.
[[gnu::always_inline]] inline double round_to(double value, double power, int digits) noexcept {
  constexpr double kMagic = 6755399441055744.0;
  const double product = value * power;
  if (!(std::fabs(product) < 2251799813685248.0)) [[unlikely]] {
    return round_slowly(value, digits);
  }
  double rounded = (product + kMagic) - kMagic;
  if (std::fabs(product - rounded) == 0.5) [[unlikely]] {
    // The product itself was rounded, perhaps onto the tie: its error says on which side the true value lies.
    const double error = std::fma(value, power, -product);
    if (error != 0.0) {
      rounded = error > 0.0 ? std::floor(product) + 1.0 : std::floor(product);
    }
  }
  return rounded / power + 0.0;
}

[[gnu::always_inline]] inline bool is_finite(double value) noexcept {
  return std::fabs(value) <= std::numeric_limits<double>::max();
}

/// Copy in 16-byte pieces: a plain struct copy of this size becomes `rep movs`, which costs more than the
/// decode.
template <class T>
[[gnu::always_inline]] inline void copy_pieces(T& to, const T& from) noexcept {
  static_assert(sizeof(T) % 16 == 0 && alignof(T) >= 16);
  // memcpy, and not a vector type that may alias: deduced by `auto`, such a type loses that attribute, and
  // the compiler then moves the copy past stores to the record's members.
  auto* const target = reinterpret_cast<unsigned char*>(&to);
  const auto* const source = reinterpret_cast<const unsigned char*>(&from);
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (__builtin_memcpy(target + 16 * I, source + 16 * I, 16), ...);
  }(std::make_index_sequence<sizeof(T) / 16>{});
}

/// 10^precision * multiplier as a divisor; false where it is 0 or not exact in both forms.
inline bool make_divisor(std::uint64_t precision, std::uint64_t multiplier, Divisor& out) noexcept {
  if (precision > 18 || multiplier == 0) {
    return false;
  }
  std::uint64_t value = multiplier;
  for (std::uint64_t i = 0; i < precision; ++i) {
    if (__builtin_mul_overflow(value, std::uint64_t{10}, &value)) {
      return false;
    }
  }
  if (value >= (std::uint64_t{1} << 62)) {
    return false;
  }
  out.value = static_cast<double>(value);
  out.exact = value;
  return static_cast<std::uint64_t>(out.value) == value;
}

inline bool is_float(Wire wire) noexcept {
  return wire == Wire::f32 || wire == Wire::f64;
}

inline std::uint32_t wire_width(Wire wire) noexcept {
  constexpr std::array<std::uint32_t, 11> kWidths{1, 1, 2, 2, 4, 4, 8, 8, 4, 8, 0};
  return kWidths[static_cast<std::size_t>(wire)];
}

}  // namespace dragoman::packed

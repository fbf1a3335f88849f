#include "packed_read.hpp"

#include <charconv>
#include <system_error>

namespace dragoman::packed {

double divide_exactly(std::uint64_t magnitude, bool negative, std::uint64_t divisor) noexcept {
  if (magnitude == 0) {
    return 0.0;
  }
  // Shift the mantissa to the top of 128 bits: the quotient then has at least 65 bits, and a sticky last bit
  // for the remainder makes the conversion to double round as the exact quotient would.
  __extension__ using Wide = unsigned __int128;
  const int shift = 64 + std::countl_zero(magnitude);
  const Wide dividend = static_cast<Wide>(magnitude) << shift;
  Wide quotient = dividend / divisor;
  quotient |= static_cast<Wide>(quotient * divisor != dividend);
  const double value = std::ldexp(static_cast<double>(quotient), -shift);
  return negative ? -value : value;
}

double round_slowly(double value, int digits) noexcept {
  // 309 digits before the point, 15 behind it, sign and point.
  char text[340];
  const auto written = std::to_chars(text, text + sizeof text, value, std::chars_format::fixed, digits);
  double rounded = value;
  if (written.ec == std::errc{}) {
    std::from_chars(text, written.ptr, rounded);
  }
  return rounded + 0.0;
}

}  // namespace dragoman::packed

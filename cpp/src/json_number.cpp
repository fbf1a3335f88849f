#include "json_number.hpp"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

#include "dragoman/json_decoder.hpp"

namespace dragoman::json {
namespace {

constexpr std::uint64_t kExact = std::uint64_t{1} << 53;
constexpr std::int64_t kMostExponent = 100'000;

bool is_digit(std::uint8_t byte) noexcept {
  return byte >= '0' && byte <= '9';
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
std::int64_t days_of(std::int64_t year, std::int64_t month, std::int64_t day) noexcept {
  year -= month <= 2;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t of_era = year - era * 400;
  const std::int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/// The number that exactly `count` digits at `at` write; false where one is no
/// digit.
bool fixed_digits(const std::uint8_t*& at, const std::uint8_t* end, unsigned count,
                  std::int64_t& out) noexcept {
  if (end - at < static_cast<std::ptrdiff_t>(count)) {
    return false;
  }
  const std::uint64_t word = load8(at);
  if (digit_run(word) < count) {
    return false;
  }
  out = static_cast<std::int64_t>(digits_of(word, count));
  at += count;
  return true;
}

/// The first second of the day "YYYY-MM-DD"; false where no such day is
/// written.
bool read_date(const std::uint8_t* at, std::int64_t& seconds) noexcept {
  constexpr std::uint8_t kMonthDays[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  constexpr std::uint64_t kDashes = 0xFF0000FF00000000u;
  const std::uint64_t month_of = load8(at);
  if ((month_of & kDashes) != 0x2D00002D00000000u ||
      digit_run((month_of & ~kDashes) | (kDashes & 0x3030303030303030u)) != 8 || !is_digit(at[8]) ||
      !is_digit(at[9])) {
    return false;
  }
  const auto two = [at](int from) { return std::int64_t{at[from]} * 10 + at[from + 1] - 11 * '0'; };
  const std::int64_t year = two(0) * 100 + two(2), month = two(5), day = two(8);
  if (month < 1 || month > 12 || day < 1 || day > kMonthDays[month - 1] ||
      (month == 2 && day == 29 && (year % 4 != 0 || (year % 100 == 0 && year % 400 != 0)))) {
    return false;
  }
  seconds = days_of(year, month, day) * 86400;
  return true;
}

}  // namespace

bool read_decimal(const std::uint8_t* begin, const std::uint8_t* end, Decimal& out) noexcept {
  const std::uint8_t* at = begin;
  out = {};
  if (at != end && *at == '-') {
    out.negative = true;
    ++at;
  }
  if (at == end || !is_digit(*at)) {
    return false;
  }
  out.canonical = *at != '0' || at + 1 == end || !is_digit(at[1]);
  unsigned held = 0;  // digits in the mantissa, from the first that is not 0
  std::int64_t dropped = 0;
  std::int64_t decimals = 0;
  const auto take = [&](std::uint8_t byte) {
    const auto digit = static_cast<std::uint64_t>(byte - '0');
    if (held == 19) {
      out.wide |= digit != 0;
      ++dropped;
      return;
    }
    held += held != 0 || digit != 0;
    out.mantissa = out.mantissa * 10 + digit;
  };
  for (; at != end && is_digit(*at); ++at) {
    take(*at);
  }
  if (at != end && *at == '.') {
    ++at;
    if (at == end || !is_digit(*at)) {
      return false;
    }
    for (; at != end && is_digit(*at); ++at) {
      take(*at);
      ++decimals;
    }
  }
  std::int64_t exponent = 0;
  if (at != end && (*at == 'e' || *at == 'E')) {
    out.canonical = false;
    ++at;
    const bool down = at != end && *at == '-';
    at += at != end && (*at == '-' || *at == '+');
    if (at == end || !is_digit(*at)) {
      return false;
    }
    for (; at != end && is_digit(*at); ++at) {
      exponent = exponent < kMostExponent ? exponent * 10 + (*at - '0') : kMostExponent;
    }
    exponent = down ? -exponent : exponent;
  }
  if (at != end) {
    return false;
  }
  const std::int64_t all = decimals - dropped - exponent;
  // The written decimals of a canonical number include zeros that the mantissa
  // does not hold.
  out.canonical &= dropped == 0;
  out.decimals = static_cast<std::int32_t>(all < -kMostExponent  ? -kMostExponent
                                           : all > kMostExponent ? kMostExponent
                                                                 : all);
  return true;
}

bool nearest(const Decimal& decimal, const std::uint8_t* begin, const std::uint8_t* end, int exponent,
             double& out) noexcept {
  const std::int64_t decimals = std::int64_t{decimal.decimals} + exponent;
  double value;
  if (decimal.mantissa == 0) {
    value = 0.0;
  } else if (decimal.mantissa <= kExact && !decimal.wide && decimals >= -22 && decimals <= 22) {
    value = static_cast<double>(decimal.mantissa);
    value = decimals >= 0 ? value / kPowers[decimals] : value * kPowers[-decimals];
  } else {
    char text[64];
    const char* from = reinterpret_cast<const char*>(begin);
    const char* to = reinterpret_cast<const char*>(end);
    if (decimal.wide) {
      if (exponent != 0) {
        return false;
      }
      from += decimal.negative;
    } else {
      const int size =
          std::snprintf(text, sizeof text, "%llue%lld", static_cast<unsigned long long>(decimal.mantissa),
                        static_cast<long long>(-decimals));
      from = text;
      to = text + size;
    }
    const auto [stop, error] = std::from_chars(from, to, value);
    if (error != std::errc{} || stop != to || !std::isfinite(value)) {
      return false;
    }
  }
  out = decimal.negative ? -value : value;
  return true;
}

bool exact_level(const Decimal& decimal, int exponent, double& value, std::uint8_t& decimals) noexcept {
  if (!decimal.canonical || decimal.wide || decimal.decimals > 254) {
    return false;
  }
  std::uint64_t mantissa = decimal.mantissa;
  std::int32_t places = decimal.decimals;
  while (mantissa >= kDigits15 && mantissa % 10 == 0) {
    mantissa /= 10;
    --places;
  }
  if (mantissa >= kDigits15) {
    return false;
  }
  const Decimal shorter{mantissa, places, decimal.negative, false, true};
  if (!nearest(shorter, nullptr, nullptr, exponent, value)) {
    return false;
  }
  decimals = exponent == 0 ? static_cast<std::uint8_t>(decimal.decimals) : 255;
  return true;
}

bool read_integer(const std::uint8_t* begin, const std::uint8_t* end, std::int64_t& out) noexcept {
  const bool negative = begin != end && *begin == '-';
  const std::uint8_t* at = begin + negative;
  if (at == end) {
    return false;
  }
  std::uint64_t value = 0;
  const std::uint8_t* const from = at;
  while (at != end) {
    const std::uint64_t word = load8(at);
    const auto left = static_cast<std::size_t>(end - at);
    unsigned run = digit_run(word);
    run = run > left ? static_cast<unsigned>(left) : run;
    if (run == 0 || (run < 8 && run != left)) {
      return false;
    }
    if (at - from >= 16) {
      if (__builtin_mul_overflow(value, kWholePowers[run], &value) ||
          __builtin_add_overflow(value, digits_of(word, run), &value)) {
        return false;
      }
    } else {
      value = value * kWholePowers[run] + digits_of(word, run);
    }
    at += run;
  }
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  if (value > kMost) {
    return false;  // kAbsentInt itself is no number either
  }
  out = negative ? -static_cast<std::int64_t>(value) : static_cast<std::int64_t>(value);
  return true;
}

bool read_epoch(const std::uint8_t* begin, const std::uint8_t* end, std::int64_t unit_ns,
                std::int64_t& out) noexcept {
  std::int64_t all = 0;
  if (read_integer(begin, end, all)) [[likely]] {
    return join(all, unit_ns, 0, out);
  }
  const std::uint8_t* point = begin;
  while (point != end && *point != '.') {
    ++point;
  }
  std::int64_t whole = 0;
  if (!read_integer(begin, point, whole)) {
    return false;
  }
  std::int64_t part = 0;
  if (point != end) {
    std::int64_t step = unit_ns;
    if (++point == end) {
      return false;
    }
    for (; point != end; ++point) {
      if (!is_digit(*point)) {
        return false;
      }
      step /= 10;
      part += step * (*point - '0');
    }
    part = *begin == '-' ? -part : part;
  }
  return join(whole, unit_ns, part, out);
}

bool read_rfc3339(const std::uint8_t* begin, const std::uint8_t* end, Day& known,
                  std::int64_t& out) noexcept {
  if (end - begin < 20) {
    return false;
  }
  Day day{load8(begin), 0, 0};
  std::memcpy(&day.day, begin + 8, sizeof day.day);
  if (day.month != known.month || day.day != known.day) [[unlikely]] {
    if (!read_date(begin, day.seconds)) {
      return false;
    }
    known = day;
  }
  // "hh:mm:ss" in one word, whose separators are checked, then read as zeros.
  constexpr std::uint64_t kColons = 0x0000FF0000FF0000u;
  const std::uint64_t time = load8(begin + 11);
  if ((begin[10] != 'T' && begin[10] != 't' && begin[10] != ' ') ||
      (time & kColons) != (0x3A3A3A3A3A3A3A3Au & kColons)) {
    return false;
  }
  const std::uint64_t digits = (time & ~kColons) | (kColons & 0x3030303030303030u);
  const std::uint64_t values = digits & 0x0F0F0F0F0F0F0F0Fu;
  const std::uint64_t pairs = values * 10 + (values >> 8);  // at bytes 0, 3 and 6
  const auto hour = static_cast<std::int64_t>(pairs & 0xFF);
  const auto minute = static_cast<std::int64_t>(pairs >> 24 & 0xFF);
  const auto second = static_cast<std::int64_t>(pairs >> 48 & 0xFF);
  const std::uint8_t* at = begin + 19;
  const auto literal = [&](std::uint8_t byte) { return at != end && *at++ == byte; };
  if (digit_run(digits) != 8 || hour > 23 || minute > 59 || second > 60) {
    return false;
  }
  std::int64_t nanos = 0;
  if (at != end && *at == '.') {
    ++at;
    const std::uint8_t* const from = at;
    const unsigned run = digit_run(load8(at));
    if (run != 0) {
      nanos = static_cast<std::int64_t>(digits_of(load8(at), run) * kWholePowers[9 - run]);
      at += run;
      if (run == 8 && is_digit(*at)) {
        nanos += *at++ - '0';
      }
    }
    if (at == from || at >= end || is_digit(*at)) {
      return false;
    }
  }
  std::int64_t offset = 0;
  if (at == end) {
    return false;
  }
  if (*at == 'Z' || *at == 'z') {
    ++at;
  } else if (*at == '+' || *at == '-') {
    const std::int64_t sign = *at == '-' ? -1 : 1;
    ++at;
    std::int64_t hours = 0, minutes = 0;
    if (!fixed_digits(at, end, 2, hours) || !literal(':') || !fixed_digits(at, end, 2, minutes) ||
        hours > 23 || minutes > 59) {
      return false;
    }
    offset = sign * (hours * 3600 + minutes * 60);
  } else {
    return false;
  }
  const std::int64_t seconds = known.seconds + hour * 3600 + minute * 60 + second - offset;
  return at == end && join(seconds, 1'000'000'000, nanos, out);
}

}  // namespace dragoman::json

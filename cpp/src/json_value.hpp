#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "dragoman/json_decoder.hpp"
#include "dragoman/json_layout.hpp"
#include "json_number.hpp"

/// What a captured value says, whichever encoding it came in.
namespace dragoman::json {

/// The text of a number or text, escapes resolved, padded behind. Lone
/// surrogates become what UTF-8 refuses.
struct Token {
  const std::uint8_t* begin;
  const std::uint8_t* end;

  [[nodiscard]] std::string_view view() const noexcept {
    return {reinterpret_cast<const char*>(begin), static_cast<std::size_t>(end - begin)};
  }
};

/// @return false where the value is neither number literal nor text
bool token_of(Type type, const Capture& capture, std::string& scratch, Token& out);

/// Append the text between two quotes with its escapes resolved.
void unescape(const std::uint8_t* at, const std::uint8_t* end, std::string& out);

[[nodiscard]] bool valid_utf8(std::string_view text) noexcept;

/// MessagePack's integers at their first byte; false for one beyond int64.
bool packed_integer(const std::uint8_t* at, std::int64_t& out) noexcept;
double packed_float(const std::uint8_t* at) noexcept;

bool general_number(Type type, const Capture& capture, int exponent, std::string& scratch, double& out);

/// The float64 nearest to a number over 10^exponent; false where there is none.
[[gnu::always_inline]] inline bool to_number(Type type, const Capture& capture, int exponent,
                                             std::string& scratch, double& out) {
  if (type == Type::number || type == Type::text) [[likely]] {
    if (capture.size - 1 < 8) [[likely]] {
      std::uint64_t short_mantissa;
      unsigned short_decimals;
      if (read_sized(capture.at, capture.size, short_mantissa, short_decimals) &&
          static_cast<int>(short_decimals) + exponent <= 22) [[likely]] {
        out = static_cast<double>(short_mantissa) / kPowers[static_cast<int>(short_decimals) + exponent];
        return true;
      }
    }
    const bool negative = *capture.at == '-';
    std::uint64_t mantissa;
    unsigned decimals;
    const std::uint8_t* const end = read_short(capture.at + negative, mantissa, decimals);
    if (end == capture.at + capture.size && mantissa < kDigits15) [[likely]] {
      const int places = static_cast<int>(decimals) + exponent;
      if (places <= 22) [[likely]] {
        const double value = static_cast<double>(mantissa) / kPowers[places];
        out = negative ? -value : value;
        return true;
      }
    }
  }
  return general_number(type, capture, exponent, scratch, out);
}

bool to_integer(Type type, const Capture& capture, std::string& scratch, std::int64_t& out);

/// ns since the epoch. @param unit_ns  0 for RFC 3339  @param known  the date
/// read last
bool to_time(Type type, const Capture& capture, std::int64_t unit_ns, std::string& scratch, Day& known,
             std::int64_t& out);

/// The usual RFC 3339 time, "2021-02-22T15:51:44.208123456Z" on the date read last; false where the general
/// way must look.
[[gnu::always_inline]] inline bool read_usual_time(const Capture& capture, const Day& known,
                                                   std::int64_t& out) noexcept {
  constexpr std::uint64_t kColons = 0x0000FF0000FF0000u;
  const std::uint8_t* const at = capture.at;
  std::uint16_t day;
  std::memcpy(&day, at + 8, sizeof day);
  const std::uint64_t time = load8(at + 11);
  if (capture.size != 30 || load8(at) != known.month || day != known.day || at[10] != 'T' || at[19] != '.' ||
      at[29] != 'Z' || (time & kColons) != (0x3A3A3A3A3A3A3A3Au & kColons)) {
    return false;
  }
  const std::uint64_t digits = (time & ~kColons) | (kColons & 0x3030303030303030u);
  const std::uint64_t values = digits & 0x0F0F0F0F0F0F0F0Fu;
  const std::uint64_t pairs = values * 10 + (values >> 8);  // at bytes 0, 3 and 6
  const auto hour = static_cast<std::int64_t>(pairs & 0xFF);
  const auto minute = static_cast<std::int64_t>(pairs >> 24 & 0xFF);
  const auto second = static_cast<std::int64_t>(pairs >> 48 & 0xFF);
  const std::uint64_t part = load8(at + 20);
  const unsigned last = at[28] - unsigned{'0'};
  if (digit_run(digits) != 8 || digit_run(part) != 8 || last > 9 || hour > 23 || minute > 59 || second > 60) {
    return false;
  }
  const std::int64_t seconds = known.seconds + hour * 3600 + minute * 60 + second;
  const auto nanos = static_cast<std::int64_t>(digits_of(part, 8) * 10 + last);
  return !__builtin_mul_overflow(seconds, std::int64_t{1'000'000'000}, &out) &&
         !__builtin_add_overflow(out, nanos, &out) && out != INT64_MIN;
}

/// A price or quantity of a level and its written decimals; false where it must
/// be refused.
bool to_level(Type type, const Capture& capture, int exponent, bool exact, std::string& scratch, double& out,
              std::uint8_t& decimals);

}  // namespace dragoman::json

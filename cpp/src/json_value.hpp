#pragma once

#include <cstdint>
#include <string>
#include <string_view>

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

/// A price or quantity of a level and its written decimals; false where it must
/// be refused.
bool to_level(Type type, const Capture& capture, int exponent, bool exact, std::string& scratch, double& out,
              std::uint8_t& decimals);

}  // namespace dragoman::json

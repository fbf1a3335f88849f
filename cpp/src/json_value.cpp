#include "json_value.hpp"

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

namespace dragoman::json {
namespace {

template <class T>
T big_endian(const std::uint8_t* at) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value = value << 8 | at[i];
  }
  return static_cast<T>(value);
}

unsigned hex4(const std::uint8_t* at) noexcept {
  unsigned value = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned byte = at[i];
    value = value << 4 | (byte <= '9' ? byte - '0' : (byte | 0x20) - 'a' + 10);
  }
  return value;
}

void append_utf8(std::uint32_t code, std::string& out) {
  if (code < 0x80) {
    out.push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out.push_back(static_cast<char>(0xC0 | code >> 6));
    out.push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else if (code < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | code >> 12));
    out.push_back(static_cast<char>(0x80 | (code >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else {
    out.push_back(static_cast<char>(0xF0 | code >> 18));
    out.push_back(static_cast<char>(0x80 | (code >> 12 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (code >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (code & 0x3F)));
  }
}

bool join_time(std::int64_t seconds, std::uint32_t nanos, std::int64_t& out) noexcept {
  return nanos <= 999'999'999 && join(seconds, 1'000'000'000, nanos, out);
}

bool packed_moment(const Capture& capture, std::int64_t& out) noexcept {
  if (capture.size == 4) {
    return join_time(big_endian<std::uint32_t>(capture.at), 0, out);
  }
  if (capture.size == 8) {
    const auto both = big_endian<std::uint64_t>(capture.at);
    return join_time(static_cast<std::int64_t>(both & 0x3FFFFFFFFu), static_cast<std::uint32_t>(both >> 34),
                     out);
  }
  return join_time(big_endian<std::int64_t>(capture.at + 4), big_endian<std::uint32_t>(capture.at), out);
}

}  // namespace

void unescape(const std::uint8_t* at, const std::uint8_t* end, std::string& out) {
  while (at != end) {
    if (*at != '\\') {
      out.push_back(static_cast<char>(*at++));
      continue;
    }
    ++at;
    switch (*at++) {
      case 'b':
        out.push_back('\b');
        break;
      case 'f':
        out.push_back('\f');
        break;
      case 'n':
        out.push_back('\n');
        break;
      case 'r':
        out.push_back('\r');
        break;
      case 't':
        out.push_back('\t');
        break;
      case 'u': {
        std::uint32_t code = hex4(at);
        at += 4;
        if ((code & 0xFC00) == 0xD800 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
          const std::uint32_t low = hex4(at + 2);
          if ((low & 0xFC00) == 0xDC00) {
            code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF);
            at += 6;
          }
        }
        append_utf8(code, out);
        break;
      }
      default:
        out.push_back(static_cast<char>(at[-1]));
        break;
    }
  }
}

bool token_of(Type type, const Capture& capture, std::string& scratch, Token& out) {
  if (type == Type::number || type == Type::text) {
    out = {capture.at, capture.at + capture.size};
    return true;
  }
  if (type != Type::escaped_text) {
    return false;
  }
  scratch.clear();
  unescape(capture.at, capture.at + capture.size, scratch);
  const std::size_t size = scratch.size();
  scratch.append(kPadding, '\0');
  const auto* const begin = reinterpret_cast<const std::uint8_t*>(scratch.data());
  out = {begin, begin + size};
  return true;
}

bool valid_utf8(std::string_view text) noexcept {
  const auto* at = reinterpret_cast<const std::uint8_t*>(text.data());
  const std::uint8_t* const end = at + text.size();
  while (at != end) {
    if (end - at < 8 && text.size() >= 8 && (load8(end - 8) & 0x8080808080808080u) == 0) {
      return true;
    }
    if (end - at >= 8 && (load8(at) & 0x8080808080808080u) == 0) {
      at += 8;
      continue;
    }
    if (*at < 0x80) {
      ++at;
      continue;
    }
    const unsigned more = *at >= 0xF0 ? 3 : *at >= 0xE0 ? 2 : 1;
    if (*at < 0xC2 || *at > 0xF4 || end - at <= static_cast<std::ptrdiff_t>(more)) {
      return false;
    }
    std::uint32_t code = *at & (0x3Fu >> more);
    for (unsigned i = 1; i <= more; ++i) {
      if ((at[i] & 0xC0) != 0x80) {
        return false;
      }
      code = code << 6 | (at[i] & 0x3F);
    }
    constexpr std::uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (code < kLeast[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      return false;
    }
    at += more + 1;
  }
  return true;
}

bool packed_integer(const std::uint8_t* at, std::int64_t& out) noexcept {
  const std::uint8_t head = *at++;
  switch (head) {
    case 0xCC:
      out = *at;
      return true;
    case 0xCD:
      out = big_endian<std::uint16_t>(at);
      return true;
    case 0xCE:
      out = big_endian<std::uint32_t>(at);
      return true;
    case 0xCF:
      out = big_endian<std::int64_t>(at);
      return out >= 0;
    case 0xD0:
      out = static_cast<std::int8_t>(*at);
      return true;
    case 0xD1:
      out = big_endian<std::int16_t>(at);
      return true;
    case 0xD2:
      out = big_endian<std::int32_t>(at);
      return true;
    case 0xD3:
      out = big_endian<std::int64_t>(at);
      return out != std::numeric_limits<std::int64_t>::min();
    default:
      out = static_cast<std::int8_t>(head);
      return true;
  }
}

double packed_float(const std::uint8_t* at) noexcept {
  return *at == 0xCA ? static_cast<double>(std::bit_cast<float>(big_endian<std::uint32_t>(at + 1)))
                     : std::bit_cast<double>(big_endian<std::uint64_t>(at + 1));
}

namespace {

/// The number as a decimal. False where it is none; MessagePack's floats have
/// none.
bool decimal_of(Type type, const Capture& capture, std::string& scratch, Token& token, Decimal& out) {
  if (type == Type::integer) {
    std::int64_t value = 0;
    out = {};
    if (*capture.at == 0xCF) {
      out.mantissa = big_endian<std::uint64_t>(capture.at + 1);
    } else if (packed_integer(capture.at, value)) {
      out.negative = value < 0;
      out.mantissa = static_cast<std::uint64_t>(value < 0 ? -value : value);
    } else {
      return false;
    }
    token = {};
    return true;
  }
  return token_of(type, capture, scratch, token) && read_decimal(token.begin, token.end, out);
}

}  // namespace

bool general_number(Type type, const Capture& capture, int exponent, std::string& scratch, double& out) {
  if (type == Type::floating) {
    out = packed_float(capture.at);
    if (exponent != 0) {
      out /= kPowers[exponent];
    }
    return std::isfinite(out);
  }
  Token token{};
  Decimal decimal;
  return decimal_of(type, capture, scratch, token, decimal) &&
         nearest(decimal, token.begin, token.end, exponent, out);
}

bool to_integer(Type type, const Capture& capture, std::string& scratch, std::int64_t& out) {
  if (type == Type::integer) {
    return packed_integer(capture.at, out);
  }
  Token token{};
  return token_of(type, capture, scratch, token) && read_integer(token.begin, token.end, out);
}

bool to_time(Type type, const Capture& capture, std::int64_t unit_ns, std::string& scratch, Day& known,
             std::int64_t& out) {
  if (type == Type::moment) {
    return packed_moment(capture, out);
  }
  if (unit_ns == 0) {
    Token token{};
    return type != Type::number && token_of(type, capture, scratch, token) &&
           read_rfc3339(token.begin, token.end, known, out);
  }
  if (type == Type::integer) {
    std::int64_t value = 0;
    return packed_integer(capture.at, value) && join(value, unit_ns, 0, out);
  }
  if (type == Type::floating) {
    const double value = packed_float(capture.at);
    double whole = 0.0;
    const double part = std::modf(value, &whole);
    if (!(std::fabs(whole) < 9223372036854775808.0)) {
      return false;
    }
    return join(static_cast<std::int64_t>(whole), unit_ns,
                static_cast<std::int64_t>(std::nearbyint(part * static_cast<double>(unit_ns))), out);
  }
  Token token{};
  return token_of(type, capture, scratch, token) && read_epoch(token.begin, token.end, unit_ns, out);
}

bool to_level(Type type, const Capture& capture, int exponent, bool exact, std::string& scratch, double& out,
              std::uint8_t& decimals) {
  if (type == Type::floating) {
    decimals = 255;
    return general_number(type, capture, exponent, scratch, out);
  }
  Token token{};
  Decimal decimal;
  if (!decimal_of(type, capture, scratch, token, decimal)) {
    return false;
  }
  if (exact_level(decimal, exponent, out, decimals)) {
    return true;
  }
  decimals = 255;
  return !exact && nearest(decimal, token.begin, token.end, exponent, out);
}

}  // namespace dragoman::json

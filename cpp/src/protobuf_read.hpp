#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "dragoman/protobuf_layout.hpp"

/// Reading the wire of protobuf. Everything here is inline, allocates nothing and never reads past `end`.
namespace dragoman::protobuf {

enum class Read : std::uint8_t { ok, truncated, malformed };

template <class T>
[[gnu::always_inline]] inline T load_bits(const std::uint8_t* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// Neither infinite nor NaN: without the sign, the bits of those are the largest.
[[gnu::always_inline]] inline bool is_finite_bits(double value) noexcept {
  return std::bit_cast<std::uint64_t>(value) << 1 < 0xFFE0000000000000u;
}

/// A varint byte by byte: at most ten, the tenth no larger than 1, so that it fits 64 bits.
[[gnu::noinline]] inline Read read_varint_slowly(const std::uint8_t*& at, const std::uint8_t* end,
                                                 std::uint64_t& value) noexcept {
  value = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (at == end) {
      return Read::truncated;
    }
    const std::uint8_t byte = *at++;
    if (shift == 63 && byte > 1) {
      return Read::malformed;
    }
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) {
      return Read::ok;
    }
  }
  return Read::malformed;
}

/// The same from eight bytes, which must be there: the end is the first byte whose top bit is clear, and a
/// step or two more push the groups of seven together. False, with `at` where it was, for a varint that is
/// longer.
[[gnu::always_inline]] inline bool read_varint_of_8(const std::uint8_t*& at, std::uint64_t& value) noexcept {
  auto low = load_bits<std::uint32_t>(at);
  if (const std::uint32_t stops = ~low & 0x80808080u; stops != 0) [[likely]] {
    low &= stops ^ (stops - 1);  // up to and with the last byte
    at += (static_cast<unsigned>(std::countr_zero(stops)) >> 3) + 1;
    low = (low & 0x007F007Fu) | (low >> 1 & 0x3F803F80u);
    value = (low & 0x00003FFFu) | (low >> 2 & 0x0FFFC000u);
    return true;
  }
  auto word = load_bits<std::uint64_t>(at);
  const std::uint64_t stops = ~word & 0x8080808080808080u;
  if (stops == 0) [[unlikely]] {
    return false;
  }
  word &= stops ^ (stops - 1);
  at += (static_cast<unsigned>(std::countr_zero(stops)) >> 3) + 1;
  word = (word & 0x007F007F007F007Fu) | (word >> 1 & 0x3F803F803F803F80u);
  word = (word & 0x00003FFF00003FFFu) | (word >> 2 & 0x0FFFC0000FFFC000u);
  value = (word & 0x000000000FFFFFFFu) | (word >> 4 & 0x00FFFFFFF0000000u);
  return true;
}

/// Any varint, the quickest way that the bytes left allow.
[[gnu::always_inline]] inline Read read_varint(const std::uint8_t*& at, const std::uint8_t* end,
                                               std::uint64_t& value) noexcept {
  if (at != end && *at < 0x80) [[likely]] {
    value = *at++;
    return Read::ok;
  }
  if (end - at >= 8 && read_varint_of_8(at, value)) [[likely]] {
    return Read::ok;
  }
  const std::uint8_t* next = at;  // a copy, so that the caller's `at` may stay in a register
  const Read read = read_varint_slowly(next, end, value);
  at = next;
  return read;
}

/// Step over a varint. Bytes up to `readable`, which is `end` or behind it, may be looked at.
[[gnu::always_inline]] inline Read skip_varint(const std::uint8_t*& at, const std::uint8_t* end,
                                               const std::uint8_t* readable) noexcept {
  if (readable - at >= 8) [[likely]] {
    const std::uint64_t stops = ~load_bits<std::uint64_t>(at) & 0x8080808080808080u;
    if (stops != 0) [[likely]] {
      at += (static_cast<unsigned>(std::countr_zero(stops)) >> 3) + 1;
      return at <= end ? Read::ok : Read::truncated;
    }
  }
  std::uint64_t value;
  const std::uint8_t* next = at;
  const Read read = read_varint_slowly(next, end, value);
  at = next;
  return read;
}

/// A field's tag. Numbers are 1 to 2^29 - 1.
[[gnu::always_inline]] inline Read read_tag(const std::uint8_t*& at, const std::uint8_t* end,
                                            std::uint32_t& tag) noexcept {
  std::uint64_t value;
  const Read read = read_varint(at, end, value);
  if (read != Read::ok) {
    return read;
  }
  tag = static_cast<std::uint32_t>(value);
  return value < 8 || value > 0xFFFFFFFFu ? Read::malformed : Read::ok;
}

/// Step over a field whose tag was read. Groups, which proto3 has no more, are malformed.
inline Read skip_field(std::uint32_t tag, const std::uint8_t*& at, const std::uint8_t* end) noexcept {
  std::uint64_t size = 0;
  switch (tag & 7) {
    case 0:
      return read_varint(at, end, size);
    case 1:
      size = 8;
      break;
    case 2:
      if (const Read read = read_varint(at, end, size); read != Read::ok) {
        return read;
      }
      break;
    case 5:
      size = 4;
      break;
    default:
      return Read::malformed;
  }
  if (size > static_cast<std::uint64_t>(end - at)) {
    return Read::truncated;
  }
  at += size;
  return Read::ok;
}

[[gnu::always_inline]] inline const Entry& entry_of(const Node& node, std::uint32_t tag) noexcept {
  if (tag < 128) [[likely]] {
    return node.entries[node.direct[tag]];
  }
  for (const auto& [other, index] : node.others) {
    if (other == tag) {
      return node.entries[index];
    }
  }
  return node.entries[0];
}

/// A number as it stood on the wire, made wide.
struct Number {
  enum class Kind : std::uint8_t { integer, natural, floating, none } kind = Kind::none;
  std::uint8_t decimals = 255;
  std::int64_t integer = 0;  ///< natural: the bits of a uint64 beyond int64
  double floating = 0.0;
};

/// A varint of a type as protobuf reads it: 32-bit types keep the low half, sint types unfold their zigzag.
inline std::int64_t integer_of(Type type, std::uint64_t raw) noexcept {
  switch (type) {
    case Type::int32:
    case Type::enumeration:
      return static_cast<std::int32_t>(raw);
    case Type::uint32:
      return static_cast<std::uint32_t>(raw);
    case Type::sint32: {
      const auto low = static_cast<std::uint32_t>(raw);
      return static_cast<std::int32_t>((low >> 1) ^ (0u - (low & 1u)));
    }
    case Type::sint64:
      return static_cast<std::int64_t>((raw >> 1) ^ (std::uint64_t{0} - (raw & 1u)));
    case Type::boolean:
      return raw != 0;
    default:
      return static_cast<std::int64_t>(raw);
  }
}

/// Plain decimal text: a sign, digits, a point and digits, at most 15 that count. False for anything else.
inline bool read_decimal(std::string_view text, Number& out) noexcept {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative) {
    text.remove_prefix(1);
  }
  std::int64_t mantissa = 0;
  unsigned digits = 0;
  unsigned behind = 0;
  bool point = false;
  bool any = false;
  for (const char letter : text) {
    if (letter == '.' && !point) {
      point = true;
      continue;
    }
    if (letter < '0' || letter > '9') {
      return false;
    }
    any = true;
    behind += point;
    if (digits != 0 || letter != '0') {
      if (++digits > 15) {
        return false;
      }
      mantissa = mantissa * 10 + (letter - '0');
    }
  }
  // Powers of ten up to 22 are exact in float64, so one division rounds once.
  if (!any || behind > 22) {
    return false;
  }
  constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  const double value = static_cast<double>(mantissa) / kPowers[behind];
  out.kind = Number::Kind::floating;
  out.floating = (negative ? -value : value) + 0.0;
  out.decimals = static_cast<std::uint8_t>(behind);
  return true;
}

/// Read one number of a type, its tag behind it. An unreadable decimal is `Number::Kind::none` with `ok`.
inline Read read_number(Type type, const std::uint8_t*& at, const std::uint8_t* end, Number& out) noexcept {
  const auto left = static_cast<std::uint64_t>(end - at);
  switch (type) {
    case Type::f64:
      if (left < 8) {
        return Read::truncated;
      }
      out.kind = Number::Kind::floating;
      out.floating = load_bits<double>(at);
      at += 8;
      return Read::ok;
    case Type::f32:
      if (left < 4) {
        return Read::truncated;
      }
      out.kind = Number::Kind::floating;
      out.floating = static_cast<double>(load_bits<float>(at));
      at += 4;
      return Read::ok;
    case Type::fixed64:
    case Type::sfixed64:
      if (left < 8) {
        return Read::truncated;
      }
      out.integer = load_bits<std::int64_t>(at);
      out.kind = type == Type::fixed64 && out.integer < 0 ? Number::Kind::natural : Number::Kind::integer;
      at += 8;
      return Read::ok;
    case Type::fixed32:
    case Type::sfixed32:
      if (left < 4) {
        return Read::truncated;
      }
      out.integer = type == Type::fixed32 ? std::int64_t{load_bits<std::uint32_t>(at)}
                                          : std::int64_t{load_bits<std::int32_t>(at)};
      out.kind = Number::Kind::integer;
      at += 4;
      return Read::ok;
    case Type::text:
    case Type::bytes:
    case Type::decimal: {
      std::uint64_t size;
      if (const Read read = read_varint(at, end, size); read != Read::ok) {
        return read;
      }
      if (size > static_cast<std::uint64_t>(end - at)) {
        return Read::truncated;
      }
      (void)read_decimal({reinterpret_cast<const char*>(at), static_cast<std::size_t>(size)}, out);
      at += size;
      return Read::ok;
    }
    default: {
      std::uint64_t raw;
      if (const Read read = read_varint(at, end, raw); read != Read::ok) {
        return read;
      }
      out.integer = integer_of(type, raw);
      out.kind = type == Type::uint64 && out.integer < 0 ? Number::Kind::natural : Number::Kind::integer;
      return Read::ok;
    }
  }
}

/// Whether the bytes are UTF-8: no overlong forms, no surrogates, nothing beyond U+10FFFF.
inline bool is_utf8(std::string_view text) noexcept {
  const auto* at = reinterpret_cast<const std::uint8_t*>(text.data());
  const std::uint8_t* const end = at + text.size();
  while (at != end) {
    const std::uint8_t first = *at++;
    if (first < 0x80) {
      continue;
    }
    unsigned more;
    std::uint32_t code;
    if (first >= 0xC2 && first <= 0xDF) {
      more = 1;
      code = first & 0x1Fu;
    } else if ((first & 0xF0) == 0xE0) {
      more = 2;
      code = first & 0x0Fu;
    } else if (first >= 0xF0 && first <= 0xF4) {
      more = 3;
      code = first & 0x07u;
    } else {
      return false;
    }
    if (static_cast<unsigned>(end - at) < more) {
      return false;
    }
    for (unsigned i = 0; i < more; ++i) {
      const std::uint8_t next = *at++;
      if ((next & 0xC0) != 0x80) {
        return false;
      }
      code = code << 6 | (next & 0x3Fu);
    }
    if ((more == 2 && (code < 0x800 || (code >= 0xD800 && code <= 0xDFFF))) ||
        (more == 3 && (code < 0x10000 || code > 0x10FFFF))) {
      return false;
    }
  }
  return true;
}

}  // namespace dragoman::protobuf

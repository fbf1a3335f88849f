#include "json_scan.hpp"

/// Rows of levels, from their text straight into the sink.
namespace dragoman::json {

const std::uint8_t* JsonScanner::rows(const Shape& shape, const std::uint8_t* at, unsigned depth) {
  at = space(at + 1);
  if (*at == ']') {
    return at + 1;
  }
  for (;;) {
    // The usual row first: ["price","quantity"], no white space, nothing after
    // it that matters.
    if (shape.plain && at[0] == '[' && at[1] == '"') [[likely]] {
      std::uint64_t price;
      std::uint64_t quantity;
      unsigned price_decimals;
      unsigned quantity_decimals;
      const std::uint8_t* next = read_quoted(at + 2, price, price_decimals);
      if (next == nullptr) {
        next = read_short(at + 2, price, price_decimals);
      }
      if (next != nullptr && next[0] == '"' && next[1] == ',' && next[2] == '"') [[likely]] {
        const std::uint8_t* const second = next + 3;
        next = read_quoted(second, quantity, quantity_decimals);
        if (next == nullptr) {
          next = read_short(second, quantity, quantity_decimals);
        }
        if (next != nullptr && next[0] == '"' && next[1] == ']' && price < kDigits15 && quantity < kDigits15)
            [[likely]] {
          put_level(levels_, static_cast<double>(price) / kPowers[price_decimals],
                    static_cast<double>(quantity) / kPowers[quantity_decimals], 0, shape.side,
                    static_cast<std::uint8_t>(price_decimals), static_cast<std::uint8_t>(quantity_decimals));
          next += 2;
          if (next[0] == ',') [[likely]] {
            at = next[1] == '[' ? next + 1 : space(next + 1);
            continue;
          }
          at = space(next);
          if (*at == ']') [[likely]] {
            return at + 1;
          }
          if (*at != ',') {
            return fail(at);
          }
          at = space(at + 1);
          continue;
        }
      }
    }
    if (at = row(shape, at, depth + 1); at == nullptr) [[unlikely]] {
      return nullptr;
    }
    at = space(at);
    if (*at == ']') {
      return at + 1;
    }
    if (*at != ',') [[unlikely]] {
      return fail(at);
    }
    at = space(at + 1);
  }
}

const std::uint8_t* JsonScanner::row(const Shape& shape, const std::uint8_t* at, unsigned depth) {
  RowParts parts;
  if (*at != (shape.objects ? '{' : '[')) {
    if (at = skip(at, depth); at != nullptr) {
      ++levels_.rejected;
    }
    return at;
  }
  if (depth >= kMaxDepth) {
    return fail(at);
  }
  if (shape.objects) {
    at = space(at + 1);
    if (*at != '}') {
      for (;;) {
        const Found::Known* known;
        at = member(shape.node, at, known);
        if (at == nullptr) [[unlikely]] {
          return nullptr;
        }
        if (known->key != kNone) {
          const std::uint16_t part = known->slot;
          at = leaf(at, parts.types[part], parts.captures[part], depth + 1);
        } else {
          at = skip(at, depth + 1);
        }
        if (at == nullptr) [[unlikely]] {
          return nullptr;
        }
        at = space(at);
        if (*at != ',') {
          break;
        }
        at = space(at + 1);
      }
      if (*at != '}') {
        return fail(at);
      }
    }
    ++at;
  } else {
    std::uint16_t position = 0;
    at = elements(at, [&](const std::uint8_t* from, const Capture&, Type) {
      const std::uint16_t here = position++;
      for (std::size_t part = 0; part < kParts; ++part) {
        if (shape.at[part] == here) {
          return leaf(from, parts.types[part], parts.captures[part], depth + 1);
        }
      }
      return skip(from, depth + 1);
    });
    if (at == nullptr) {
      return nullptr;
    }
  }
  put_row(shape, parts, scratch_, levels_);
  return at;
}

}  // namespace dragoman::json

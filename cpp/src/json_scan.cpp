#include "json_scan.hpp"

#include <cstring>

namespace dragoman::json {

const std::uint8_t* JsonScanner::literal(const std::uint8_t* at, const char* rest) noexcept {
  for (; *rest != '\0'; ++rest, ++at) {
    if (*at != static_cast<std::uint8_t>(*rest)) {
      return fail(at);
    }
  }
  return at;
}

/// Read a key that nobody asks for and its colon; returns the place of its
/// value.
const std::uint8_t* JsonScanner::skip_key(const std::uint8_t* at) noexcept {
  if (*at != '"') {
    return fail(at);
  }
  bool escaped = false;
  if (at = text_end(at + 1, escaped); at == nullptr) {
    return nullptr;
  }
  at = space(at + 1);
  return *at == ':' ? space(at + 1) : fail(at);
}

const std::uint8_t* JsonScanner::skip(const std::uint8_t* at, unsigned depth) {
  std::uint64_t kinds = 0;  // a bit for each open container: 1 for objects
  unsigned open = 0;
  bool escaped = false;
  for (;;) {
    switch (*at) {
      case '"':
        at = text_end(at + 1, escaped);
        at = at == nullptr ? nullptr : at + 1;
        break;
      case 't':
        at = literal(at, "true");
        break;
      case 'f':
        at = literal(at, "false");
        break;
      case 'n':
        at = literal(at, "null");
        break;
      case '{':
        if (depth + open++ >= kMaxDepth) {
          return fail(at);
        }
        kinds = kinds << 1 | 1;
        at = space(at + 1);
        if (*at != '}') {
          if (at = skip_key(at); at == nullptr) {
            return nullptr;
          }
          continue;
        }
        break;
      case '[':
        if (depth + open++ >= kMaxDepth) {
          return fail(at);
        }
        kinds <<= 1;
        at = space(at + 1);
        if (*at != ']') {
          continue;
        }
        break;
      default:
        at = number_end(at);
        break;
    }
    if (at == nullptr) {
      return nullptr;
    }
    for (;;) {
      if (open == 0) {
        return at;
      }
      at = space(at);
      if (*at == ',') {
        at = space(at + 1);
        if ((kinds & 1) != 0) {
          if (at = skip_key(at); at == nullptr) {
            return nullptr;
          }
        }
        break;
      }
      if (*at != ((kinds & 1) != 0 ? '}' : ']')) {
        return fail(at);
      }
      ++at;
      kinds >>= 1;
      --open;
    }
  }
}

/// A key that is not in the table of known ones: look it up, and remember a short one that nobody asks for.
const std::uint8_t* JsonScanner::new_member(std::uint16_t index, const std::uint8_t* at,
                                            const Found::Known*& known) {
  const Node& node = layout_.nodes[index];
  bool escaped = false;
  const std::uint8_t* const end = text_end(at + 1, escaped);
  if (end == nullptr) {
    return nullptr;
  }
  const std::uint8_t* text = at + 1;
  auto size = static_cast<std::size_t>(end - text);
  if (escaped) [[unlikely]] {
    scratch_.clear();
    unescape(text, end, scratch_);
    size = scratch_.size();
    scratch_.append(8, '\0');
    text = reinterpret_cast<const std::uint8_t*>(scratch_.data());
  }
  const std::uint16_t key = find_key(layout_, node, bare_word(text, size), text, size);
  this_ = found_.known_of(layout_, index, key);
  known = &this_;
  if (key == kNone && size < 8 && !escaped) {
    const std::uint64_t mask = size == 7 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * (size + 1))) - 1;
    this_.word = load8(text) & mask;
    // A free place if there is one; then that of a stranger, the second: the first stays with who came first.
    const std::size_t place = found_.place(this_.word, index);
    for (const std::size_t there : {place, place ^ 1}) {
      if (found_.known[there].owner() == kNone || (there != place && found_.known[there].key == kNone)) {
        found_.known[there] = this_;
        break;
      }
    }
  }
  at = space(end + 1);
  return *at == ':' ? space(at + 1) : fail(at);
}

const std::uint8_t* JsonScanner::object(std::uint16_t index, const std::uint8_t* at, unsigned depth) {
  if (quotes_ != nullptr && at[1] == '"') [[likely]] {
    return quoted_object(index, at, depth);
  }
  at = space(at + 1);
  return *at == '}' ? at + 1 : members(index, at, depth);
}

/// Read the members of an object from the quote of a key on.
const std::uint8_t* JsonScanner::members(std::uint16_t index, const std::uint8_t* at, unsigned depth) {
  for (;;) {
    const Found::Known* known;
    at = member(index, at, known);
    if (at == nullptr) [[unlikely]] {
      return nullptr;
    }
    if (known->node() == kNone) [[likely]] {
      at = leaf(at, found_.types[known->slot], found_.captures[known->slot], depth + 1);
    } else {
      at = value(known->node(), at, depth + 1);
    }
    if (at == nullptr) [[unlikely]] {
      return nullptr;
    }
    at = space(at);
    if (*at != ',') {
      return *at == '}' ? at + 1 : fail(at);
    }
    at = space(at + 1);
  }
}

/// What is known of a key that is not where it should be first; null where it cannot be read.
const Found::Known* JsonScanner::known_at(std::uint16_t index, std::uint64_t head, const std::uint8_t* at) {
  const std::size_t place = found_.place(head, index);
  for (const std::size_t there : {place, place ^ 1}) {
    const Found::Known& one = found_.known[there];
    if (one.word == head && one.owner() == index) [[likely]] {
      return &one;
    }
  }
  const Found::Known* known;
  return new_member(index, at, known) != nullptr ? known : nullptr;
}

/// Read an object without white space whose quotes are known. What is not as expected goes the general way.
const std::uint8_t* JsonScanner::quoted_object(std::uint16_t index, const std::uint8_t* at, unsigned depth) {
  constexpr std::uint64_t kShortKey = 0x1FE;  // where the quote may stand that ends a key of up to 7 bytes
  const Found::Known* const table = found_.known.data();
  const unsigned shift = found_.shift;
  Type* const types = found_.types.data();
  Capture* const captures = found_.captures.data();
  const std::uint64_t owner = Found::salt(index);
  const std::uint32_t leaf_here = Found::Known::place_of(index, kNone);
  ++at;
  for (;;) {
    // `at` is at the quote before a key.
    std::uint64_t quotes = quotes_at(quotes_, static_cast<std::size_t>(at - base_)) - 1;
    if ((quotes & kShortKey) == 0) [[unlikely]] {
      return members(index, at, depth);
    }
    const auto behind = static_cast<std::size_t>(__builtin_ctzll(quotes));  // the key and one quote
    const std::uint64_t head = load8(at + 1) & kFirstBytes[behind];
    const std::uint8_t* const colon = at + behind + 1;
    const Found::Known* known = table + Found::place(head, owner, shift);
    if (known->word != head || known->place != leaf_here) [[unlikely]] {
      known = known_at(index, head, at);
      if (known == nullptr) [[unlikely]] {
        return nullptr;
      }
      if (known->node() != kNone) {
        quotes = 0;  // neither a text nor a number
      }
    }
    quotes &= quotes - 1;
    const std::uint64_t text_end = quotes & (quotes - 1);
    if (text_end != 0 && stands(colon, ':', '"')) {
      at += static_cast<std::size_t>(__builtin_ctzll(text_end));
      types[known->slot] = Type::text;
      captures[known->slot] = {colon + 2, static_cast<std::uint32_t>(at - colon - 2)};
      ++at;
    } else if (quotes != 0 && *colon == ':' && is_digit(colon[1])) {
      // Where the next key begins is known from its quote, before the number is read.
      const std::uint8_t* const next = at + static_cast<std::size_t>(__builtin_ctzll(quotes));
      const auto size = static_cast<std::uint32_t>(next - colon - 2);
      types[known->slot] = Type::number;
      if (size - 1 < ShortNumber::kMost && next[-1] == ',') [[likely]] {
        if (const std::uint32_t digits = ShortNumber::read(colon + 1, size); digits != 0) [[likely]] {
          captures[known->slot] = {colon + 1, size, digits};
          at = next;
          continue;
        }
      }
      at = number_end(colon + 1);
      if (at == nullptr) [[unlikely]] {
        return nullptr;
      }
      captures[known->slot] = {colon + 1, static_cast<std::uint32_t>(at - colon - 1)};
    } else {
      if (*colon != ':') [[unlikely]] {
        return members(index, at, depth);
      }
      at = space(colon + 1);
      at = known->node() == kNone ? leaf(at, types[known->slot], captures[known->slot], depth + 1)
                                  : value(known->node(), at, depth + 1);
      if (at == nullptr) [[unlikely]] {
        return nullptr;
      }
    }
    if (stands(at, ',', '"')) [[likely]] {
      ++at;
      continue;
    }
    at = space(at);
    if (*at != ',') {
      return *at == '}' ? at + 1 : fail(at);
    }
    return members(index, space(at + 1), depth);
  }
}

const std::uint8_t* JsonScanner::array(const Node& node, const std::uint8_t* at, unsigned depth) {
  const std::uint8_t* last[kMaxTail] = {};
  std::size_t count = 0;
  const std::uint8_t* const end = elements(at, [&](const std::uint8_t* from, const Capture&, Type) {
    last[count % kMaxTail] = from;
    const std::size_t position = count++;
    const std::uint16_t wanted = position < node.item_count ? layout_.items[node.items + position] : kNone;
    return wanted != kNone ? value(wanted, from, depth + 1) : skip(from, depth + 1);
  });
  if (end == nullptr) {
    return nullptr;
  }
  for (std::size_t i = 0; i < node.tail_count && i < count; ++i) {
    const std::uint16_t wanted = layout_.tails[node.tails + i];
    if (wanted != kNone) {
      (void)value(wanted, last[(count - 1 - i) % kMaxTail], depth + 1);
    }
  }
  return end;
}

const std::uint8_t* JsonScanner::value(std::uint16_t index, const std::uint8_t* at, unsigned depth) {
  const Node& node = layout_.nodes[index];
  Type& type = found_.types[node.slot];
  Capture& capture = found_.captures[node.slot];
  if (node.plain) {
    return leaf(at, type, capture, depth);
  }
  if (type != Type::absent) [[unlikely]] {
    for (std::size_t slot = node.slot; slot != node.end; ++slot) {
      found_.types[slot] = Type::absent;  // an equal key before this one counts no more
    }
  }
  const bool object_here = *at == '{' && node.key_count != 0;
  const bool array_here = *at == '[' && (node.item_count != 0 || node.tail_count != 0);
  const bool rows_here = *at == '[' && node.shape != kNone;
  if (!object_here && !array_here && !rows_here) {
    return leaf(at, type, capture, depth);
  }
  if (depth >= kMaxDepth) {
    return fail(at);
  }
  const std::uint8_t* end;
  if (rows_here) {
    Found::Run& run = found_.runs[node.eager];
    const std::uint64_t rejected = levels_.rejected;
    run.begin = levels_.count();
    end = rows(layout_.shapes[node.shape], at, depth);
    run.count = levels_.count() - run.begin;
    run.rejected = levels_.rejected - rejected;
    levels_.rejected = rejected;  // of a table that another layout may want
  } else {
    end = object_here ? object(index, at, depth) : array(node, at, depth);
  }
  type = object_here ? Type::object : Type::array;
  capture = {at, end == nullptr ? 0 : static_cast<std::uint32_t>(end - at)};
  return end;
}

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

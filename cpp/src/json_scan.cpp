#include "json_scan.hpp"

#include <cstring>

namespace dragoman::json {
[[gnu::always_inline]] inline const std::uint8_t* JsonScanner::number_end(const std::uint8_t* at) noexcept {
  if (const unsigned size = plain_number(at); size != 0) [[likely]] {
    return at + size;
  }
  at += *at == '-';
  if (!is_digit(*at)) {
    return fail(at);
  }
  const auto digits = [](const std::uint8_t* from) {
    unsigned run;
    do {
      run = digit_run(load8(from));
      from += run;
    } while (run == 8);
    return from;
  };
  at = *at == '0' ? at + 1 : digits(at);
  if (*at == '.') {
    if (!is_digit(at[1])) {
      return fail(at + 1);
    }
    at = digits(at + 1);
  }
  if ((*at | 0x20) == 'e') [[unlikely]] {
    ++at;
    at += *at == '-' || *at == '+';
    if (!is_digit(*at)) {
      return fail(at);
    }
    at = digits(at);
  }
  return at;
}

const std::uint8_t* JsonScanner::literal(const std::uint8_t* at, const char* rest) noexcept {
  for (; *rest != '\0'; ++rest, ++at) {
    if (*at != static_cast<std::uint8_t>(*rest)) {
      return fail(at);
    }
  }
  return at;
}

/// Read a value whole, whatever it is.
[[gnu::always_inline]] inline const std::uint8_t* JsonScanner::leaf(const std::uint8_t* at, Type& type,
                                                                    Capture& capture, unsigned depth) {
  const std::uint8_t first = *at;
  if (first == '"') {
    bool escaped = false;
    const std::uint8_t* const end = text_end(at + 1, escaped);
    if (end == nullptr) [[unlikely]] {
      return nullptr;
    }
    type = escaped ? Type::escaped_text : Type::text;
    capture = {at + 1, static_cast<std::uint32_t>(end - at - 1)};
    return end + 1;
  }
  const std::uint8_t* end;
  if (is_digit(first) || first == '-') {
    type = Type::number;
    end = number_end(at);
  } else {
    switch (first) {
      case 't':
        type = Type::yes;
        break;
      case 'f':
        type = Type::no;
        break;
      case 'n':
        type = Type::null;
        break;
      case '{':
        type = Type::object;
        break;
      case '[':
        type = Type::array;
        break;
      default:
        return fail(at);
    }
    end = skip(at, depth);
  }
  if (end == nullptr) [[unlikely]] {
    return nullptr;
  }
  capture = {at, static_cast<std::uint32_t>(end - at)};
  return end;
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

/// Read a key of a node and its colon; `key` becomes the one found, or kNone,
/// and `next` what may follow it.
[[gnu::always_inline]] inline const std::uint8_t* JsonScanner::member(std::uint16_t index,
                                                                      const std::uint8_t* at,
                                                                      Found::Next*& next,
                                                                      std::uint16_t& key) {
  if (*at != '"') [[unlikely]] {
    return fail(at);
  }
  const std::uint64_t word = load8(at + 1);
  std::uint16_t id = next->one;
  const Found::Guess* guess = &found_.guesses[id];
  const auto is = [&](const Found::Guess& one) {
    return (word & one.mask) == one.word && one.owner == index &&
           (one.size < 8 || std::memcmp(at + 9, layout_.texts.data() + one.text + 8, one.size - 7u) == 0);
  };
  if (!is(*guess)) {
    id = next->other;
    guess = &found_.guesses[id];
    if (!is(*guess)) [[unlikely]] {
      return new_member(index, at, next, key);
    }
  }
  key = guess->key;
  next = &found_.after[id];
  at = space(at + guess->size + 2);
  return *at == ':' ? space(at + 1) : fail(at);
}

/// A key that did not come here of late: look it up and remember it.
const std::uint8_t* JsonScanner::new_member(std::uint16_t index, const std::uint8_t* at, Found::Next*& next,
                                            std::uint16_t& key) {
  const Node& node = layout_.nodes[index];
  bool escaped = false;
  const std::uint8_t* const end = text_end(at + 1, escaped);
  if (end == nullptr) {
    return nullptr;
  }
  auto size = static_cast<std::size_t>(end - at - 1);
  if (escaped) [[unlikely]] {
    scratch_.clear();
    unescape(at + 1, end, scratch_);
    size = scratch_.size();
    scratch_.append(8, '\0');
    const auto* const text = reinterpret_cast<const std::uint8_t*>(scratch_.data());
    key = find_key(layout_, node, bare_word(text, size), text, size);
  } else {
    const std::uint64_t bare = bare_word(at + 1, size);
    key = find_key(layout_, node, bare, at + 1, size);
    std::size_t id = key;
    if (key == kNone && size < 8) {
      id = layout_.keys.size() + (Layout::hash(bare + index, size) & (Found::kStrangers - 1));
      const std::uint64_t mask = size == 7 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * (size + 1))) - 1;
      const std::uint64_t word = load8(at + 1) & mask;
      // Two that would share a place take two, or they would push each other
      // out for ever.
      const auto other = [&](const Found::Guess& one) { return one.word != word || one.owner != index; };
      if (found_.guesses[id].owner != kNone && other(found_.guesses[id])) {
        const std::size_t next_id = id + 1 == found_.guesses.size() ? layout_.keys.size() : id + 1;
        id = found_.guesses[next_id].owner == kNone || !other(found_.guesses[next_id]) ? next_id : id;
      }
      found_.guesses[id] = {word, mask, 0, static_cast<std::uint16_t>(size), index, kNone, 0};
    }
    if (id != kNone) {
      *next = {static_cast<std::uint16_t>(id), next->one};
      next = &found_.after[id];
    }
  }
  at = space(end + 1);
  return *at == ':' ? space(at + 1) : fail(at);
}

const std::uint8_t* JsonScanner::object(std::uint16_t index, const std::uint8_t* at, unsigned depth) {
  at = space(at + 1);
  if (*at == '}') {
    return at + 1;
  }
  Found::Next* next = &found_.first[index];
  for (;;) {
    std::uint16_t key;
    at = member(index, at, next, key);
    if (at == nullptr) [[unlikely]] {
      return nullptr;
    }
    if (key != kNone) {
      const std::uint16_t below = layout_.keys[key].node;
      const Node& child = layout_.nodes[below];
      if (child.plain) [[likely]] {
        at = leaf(at, found_.types[child.slot], found_.captures[child.slot], depth + 1);
      } else {
        at = value(below, at, depth + 1);
      }
    } else if (*at == '"') [[likely]] {
      bool escaped = false;
      at = text_end(at + 1, escaped);
      at = at == nullptr ? nullptr : at + 1;
    } else {
      at = skip(at, depth + 1);
    }
    if (at == nullptr) [[unlikely]] {
      return nullptr;
    }
    at = space(at);
    if (*at == ',') [[likely]] {
      at = space(at + 1);
    } else {
      return *at == '}' ? at + 1 : fail(at);
    }
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
      Found::Next* next = &found_.first[shape.node];
      for (;;) {
        std::uint16_t key;
        at = member(shape.node, at, next, key);
        if (at == nullptr) [[unlikely]] {
          return nullptr;
        }
        if (key != kNone) {
          const std::uint16_t part = layout_.keys[key].node;
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

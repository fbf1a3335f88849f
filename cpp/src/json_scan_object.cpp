#include "json_quotes.hpp"
#include "json_scan.hpp"

/// The members of objects: from a key to what is known of it, and its value.
namespace dragoman::json {

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

}  // namespace dragoman::json

#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "dragoman/json_decoder.hpp"
#include "dragoman/json_mold.hpp"
#include "json_quotes.hpp"
#include "json_rows.hpp"
#include "json_text.hpp"
#include "json_value.hpp"

namespace dragoman::json {

/// Reads JSON along the tree of a layout and notes where the values stand.
///
/// The text ends with zeros, which stop every loop: no bounds are looked at. Functions take the place of a
/// value and return the place behind it, or null, with `failed` where it went wrong.
class JsonScanner {
 public:
  JsonScanner(const Layout& layout, Found& found, LevelSink& levels, std::string& scratch, Day& day,
              const std::uint8_t* base, const std::uint8_t*) noexcept
      : layout_(layout), found_(found), levels_(levels), scratch_(scratch), day_(day), base_(base) {}

  static constexpr bool reads_text = true;

  /// Note where the quotes stand, once; for text that no mold fits. @param out  room for all of them
  void know_quotes(std::size_t size, std::uint8_t* out) noexcept {
    if (!asked_) {
      asked_ = true;
      quotes_ = note_quotes(base_, size, out) ? out : nullptr;
    }
  }
  /// Read an object as the mold says; null where it does not fit.
  /// @param record  where the values go that the mold knows a place for
  const std::uint8_t* fit(Mold& mold, std::uint16_t node, const std::uint8_t* at, unsigned depth,
                          Record& record);
  /// Make a mold of an object that was read; one without steps where it has parts that no mold can have.
  Mold mold_of(std::uint16_t node, const std::uint8_t* at, unsigned depth);
  const std::uint8_t* failed = nullptr;

  static const std::uint8_t* space(const std::uint8_t* at) noexcept {
    while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t') [[unlikely]] {
      ++at;
    }
    return at;
  }

  [[nodiscard]] static bool is_array(const std::uint8_t* at) noexcept { return *at == '['; }

  /// Read a message: the node of one asks for it, and nothing is noted yet.
  const std::uint8_t* message(std::uint16_t node, const std::uint8_t* at, unsigned depth);
  /// Read a value that a node asks for.
  const std::uint8_t* value(std::uint16_t node, const std::uint8_t* at, unsigned depth);
  /// Read a value that nobody asks for; checked all the same.
  const std::uint8_t* skip(const std::uint8_t* at, unsigned depth);
  /// Read rows of levels into the sink.
  const std::uint8_t* rows(const Shape& shape, const std::uint8_t* at, unsigned depth);

  /// Give `take` each element of an array, or each value of an object with its key as a capture (null for
  /// arrays). `take` returns the place behind the element.
  template <class Take>
  const std::uint8_t* elements(const std::uint8_t* at, Take take) {
    const bool object = *at == '{';
    const std::uint8_t close = object ? '}' : ']';
    at = space(at + 1);
    if (*at == close) {
      return at + 1;
    }
    for (;;) {
      Capture key{nullptr, 0};
      bool escaped = false;
      if (object) {
        if (*at != '"') {
          return fail(at);
        }
        const std::uint8_t* const end = text_end(at + 1, escaped);
        if (end == nullptr) {
          return nullptr;
        }
        key = {at + 1, static_cast<std::uint32_t>(end - at - 1)};
        if (at = space(end + 1); *at != ':') {
          return fail(at);
        }
        at = space(at + 1);
      }
      if (at = take(at, key, escaped ? Type::escaped_text : Type::text); at == nullptr) {
        return nullptr;
      }
      at = space(at);
      if (*at == close) {
        return at + 1;
      }
      if (*at != ',') {
        return fail(at);
      }
      at = space(at + 1);
    }
  }

 private:
  std::nullptr_t fail(const std::uint8_t* at) noexcept {
    failed = at;
    return nullptr;
  }

  /// The closing quote of a text that begins at `at`.
  const std::uint8_t* text_end(const std::uint8_t* at, bool& escaped) noexcept;
  const std::uint8_t* number_end(const std::uint8_t* at) noexcept;
  const std::uint8_t* leaf(const std::uint8_t* at, Type& type, Capture& capture, unsigned depth);
  const std::uint8_t* object(std::uint16_t index, const std::uint8_t* at, unsigned depth);
  const std::uint8_t* quoted_object(std::uint16_t index, const std::uint8_t* at, unsigned depth);
  const std::uint8_t* members(std::uint16_t index, const std::uint8_t* at, unsigned depth);
  const std::uint8_t* put_long(const MoldStep& step, const std::uint8_t* at, Record& record);
  const std::uint8_t* skip_texts(const std::uint8_t* at) noexcept;
  const std::uint8_t* skip_key(const std::uint8_t* at) noexcept;
  const std::uint8_t* array(const Node& node, const std::uint8_t* at, unsigned depth);
  const std::uint8_t* row(const Shape& shape, const std::uint8_t* at, unsigned depth);
  const std::uint8_t* literal(const std::uint8_t* at, const char* rest) noexcept;
  const std::uint8_t* member(std::uint16_t index, const std::uint8_t* at, const Found::Known*& known);
  const Found::Known* known_at(std::uint16_t index, std::uint64_t head, const std::uint8_t* at);
  const std::uint8_t* new_member(std::uint16_t index, const std::uint8_t* at, const Found::Known*& known);

  const Layout& layout_;
  Found& found_;
  LevelSink& levels_;
  std::string& scratch_;
  Day& day_;
  const std::uint8_t* base_;              ///< the text
  const std::uint8_t* quotes_ = nullptr;  ///< bits of its quotes; null: not known
  bool asked_ = false;                    ///< whether anybody asked for them
  Found::Known this_{};                   ///< a key that is not in the table
};

[[gnu::always_inline]] inline const std::uint8_t* JsonScanner::text_end(const std::uint8_t* at,
                                                                        bool& escaped) noexcept {
  for (;;) {
    const unsigned run = plain_run(at);
    at += run;
    if (run == kRun) [[unlikely]] {
      continue;
    }
    if (*at == '"') [[likely]] {
      return at;
    }
    if (*at != '\\') {
      return fail(at);
    }
    escaped = true;
    switch (at[1]) {
      case '"':
      case '\\':
      case '/':
      case 'b':
      case 'f':
      case 'n':
      case 'r':
      case 't':
        at += 2;
        break;
      case 'u':
        for (int i = 2; i < 6; ++i) {
          if (!is_hex(at[i])) {
            return fail(at + i);
          }
        }
        at += 6;
        break;
      default:
        return fail(at + 1);
    }
  }
}

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

/// Read an array of short texts, written without white space; null where it is something else.
[[gnu::always_inline]] inline const std::uint8_t* JsonScanner::skip_texts(const std::uint8_t* at) noexcept {
  do {
    if (*++at != '"') {
      return nullptr;
    }
    const unsigned run = plain_run(at + 1);
    at += run + 1;
    if (run == kRun || *at != '"') {
      return nullptr;
    }
  } while (*++at == ',');
  return *at == ']' ? at + 1 : nullptr;
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
    end = first == '[' && depth < kMaxDepth ? skip_texts(at) : nullptr;
    end = end == nullptr ? skip(at, depth) : end;
  }
  if (end == nullptr) [[unlikely]] {
    return nullptr;
  }
  capture = {at, static_cast<std::uint32_t>(end - at)};
  return end;
}

[[gnu::always_inline]] inline const std::uint8_t* JsonScanner::message(std::uint16_t index,
                                                                       const std::uint8_t* at,
                                                                       unsigned depth) {
  const Node& node = layout_.nodes[index];
  if (quotes_ == nullptr || node.key_count == 0 || !stands(at, '{', '"')) [[unlikely]] {
    return value(index, at, depth);
  }
  const std::uint8_t* const end = quoted_object(index, at, depth);
  found_.types[node.slot] = Type::object;
  found_.captures[node.slot] = {at, end == nullptr ? 0 : static_cast<std::uint32_t>(end - at)};
  return end;
}

/// Read a key of a node and its colon; `known` becomes what is known of it.
[[gnu::always_inline]] inline const std::uint8_t* JsonScanner::member(std::uint16_t index,
                                                                      const std::uint8_t* at,
                                                                      const Found::Known*& known) {
  if (*at != '"') [[unlikely]] {
    return fail(at);
  }
  constexpr std::uint64_t kOnes = 0x0101010101010101u;
  const std::uint64_t word = load8(at + 1);
  const std::uint64_t quotes = word ^ (kOnes * '"');
  const std::uint64_t quote = (quotes - kOnes) & ~quotes & (kOnes * 0x80);
  // The key and its quote, or its first eight bytes where there is no quote among them.
  const std::uint64_t head = word & (((quote & (0 - quote)) << 1) - 1);
  const std::size_t place = found_.place(head, index);
  const Found::Known* one = &found_.known[place];
  if (one->word != head || one->owner() != index) [[unlikely]] {
    one = &found_.known[place ^ 1];
    if (one->word != head || one->owner() != index) [[unlikely]] {
      return new_member(index, at, known);
    }
  }
  known = one;
  const std::uint8_t* colon;
  if (quote != 0) [[likely]] {
    colon = at + 2 + static_cast<unsigned>(__builtin_ctzll(quote)) / 8;
  } else {
    const Key& key = layout_.keys[one->key];
    if (std::memcmp(at + 9, layout_.texts.data() + key.text + 8, key.size - 7u) != 0) [[unlikely]] {
      return new_member(index, at, known);
    }
    colon = at + key.size + 2;
  }
  if (*colon != ':') [[unlikely]] {
    colon = space(colon);
    if (*colon != ':') {
      return fail(colon);
    }
  }
  return space(colon + 1);
}

}  // namespace dragoman::json

#pragma once

#include <cstdint>
#include <string>

#include "dragoman/json_decoder.hpp"
#include "json_rows.hpp"
#include "json_value.hpp"

namespace dragoman::json {

/// Reads MessagePack along the tree of a layout; the twin of JsonScanner.
class MsgpackScanner {
 public:
  MsgpackScanner(const Layout& layout, Found& found, LevelSink& levels, std::string& scratch, Day&,
                 const std::uint8_t*, const std::uint8_t* end) noexcept
      : layout_(layout), found_(found), levels_(levels), scratch_(scratch), end_(end) {}

  static constexpr bool reads_text = false;
  const std::uint8_t* failed = nullptr;

  static const std::uint8_t* space(const std::uint8_t* at) noexcept { return at; }
  [[nodiscard]] static bool is_array(const std::uint8_t* at) noexcept {
    return (*at & 0xF0) == 0x90 || *at == 0xDC || *at == 0xDD;
  }

  const std::uint8_t* value(std::uint16_t node, const std::uint8_t* at, unsigned depth);
  const std::uint8_t* skip(const std::uint8_t* at, unsigned depth);
  const std::uint8_t* rows(const Shape& shape, const std::uint8_t* at, unsigned depth);

  template <class Take>
  const std::uint8_t* elements(const std::uint8_t* at, Take take) {
    Head head;
    if (at = read_head(at, head); at == nullptr) {
      return nullptr;
    }
    const bool object = head.type == Type::object;
    for (std::uint32_t i = 0; i < head.count; ++i) {
      Capture key{nullptr, 0};
      Type type = Type::null;
      if (object) {
        if (at = leaf(at, type, key, 0); at == nullptr) {
          return nullptr;
        }
      }
      if (at = take(at, key, type); at == nullptr) {
        return nullptr;
      }
    }
    return at;
  }

 private:
  struct Head {
    Type type;
    std::uint32_t count;  ///< elements, pairs, or bytes of the body
    std::uint32_t lead;   ///< bytes before the value's own text: 0 where it is captured from its first byte
  };

  std::nullptr_t fail(const std::uint8_t* at) noexcept {
    failed = at;
    return nullptr;
  }

  /// Read what a value is; returns the place behind its head, or null where it does not fit.
  const std::uint8_t* read_head(const std::uint8_t* at, Head& head) noexcept;
  const std::uint8_t* leaf(const std::uint8_t* at, Type& type, Capture& capture, unsigned depth);
  const std::uint8_t* member(const Node& node, const std::uint8_t* at, std::uint16_t& key);
  const std::uint8_t* object(std::uint16_t index, const std::uint8_t* at, unsigned depth);
  const std::uint8_t* array(const Node& node, const std::uint8_t* at, unsigned depth);
  const std::uint8_t* row(const Shape& shape, const std::uint8_t* at, unsigned depth);

  const Layout& layout_;
  Found& found_;
  LevelSink& levels_;
  std::string& scratch_;
  const std::uint8_t* end_;
};

}  // namespace dragoman::json

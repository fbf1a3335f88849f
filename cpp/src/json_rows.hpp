#pragma once

#include <limits>
#include <string>

#include "dragoman/json_decoder.hpp"
#include "json_value.hpp"

namespace dragoman::json {

/// The parts of a row by what they are; see Shape::at.
enum Part : std::uint16_t { kPrice, kQuantity, kOrders, kSide, kParts };

/// A level in fields of its own of which no message said anything yet.
inline constexpr Level kUnknownRow{std::numeric_limits<double>::quiet_NaN(),
                                   std::numeric_limits<double>::quiet_NaN(),
                                   0,
                                   Side::bid,
                                   Action::add,
                                   255,
                                   255};

struct RowParts {
  Type types[kParts] = {Type::absent, Type::absent, Type::absent, Type::absent};
  Capture captures[kParts];
};

/// Write the level of a row as a delta would have it, or count why there is none.
void put_row(const Shape& shape, const RowParts& row, std::string& scratch, LevelSink& sink);

[[gnu::always_inline]] inline void put_level(LevelSink& sink, double price, double quantity,
                                             std::uint32_t orders, Side side, std::uint8_t price_decimals,
                                             std::uint8_t quantity_decimals) {
  sink.room();
  Level& level = *sink.level++;
  level.price = price;
  level.quantity = quantity;
  level.orders = orders;
  level.side = side;
  level.action = quantity == 0.0 ? Action::remove : Action::update;
  level.price_decimals = price_decimals;
  level.quantity_decimals = quantity_decimals;
}

/// Find a key of a node; kNone where none asks for it.
/// @param bare  the first bytes of the key, zero filled
inline std::uint16_t find_key(const Layout& layout, const Node& node, std::uint64_t bare,
                              const std::uint8_t* text, std::size_t size) noexcept {
  for (std::size_t i = Layout::hash(bare, size) & node.table_mask;; i = (i + 1) & node.table_mask) {
    const std::uint8_t entry = layout.table[node.table + i];
    if (entry == 0) {
      return kNone;
    }
    const auto index = static_cast<std::uint16_t>(node.keys + entry - 1);
    const Key& key = layout.keys[index];
    if (key.bare == bare && key.size == size &&
        (size <= 8 || std::memcmp(layout.texts.data() + key.text + 8, text + 8, size - 8) == 0)) {
      return index;
    }
  }
}

/// The first bytes of a text as one word, zero filled; what lies behind it is readable.
inline std::uint64_t bare_word(const std::uint8_t* text, std::size_t size) noexcept {
  const std::uint64_t word = load8(text);
  return size >= 8 ? word : word & ((std::uint64_t{1} << (8 * size)) - 1);
}

}  // namespace dragoman::json

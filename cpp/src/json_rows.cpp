#include "json_rows.hpp"

#include <algorithm>
#include <limits>

namespace dragoman::json {

void LevelSink::grow() {
  const std::size_t used = static_cast<std::size_t>(level - block->levels());
  block->extend_levels(used);
  level = block->levels() + used;
  end = block->levels() + block->level_capacity();
}

void put_row(const Shape& shape, const RowParts& row, std::string& scratch, LevelSink& sink) {
  Side side = shape.side;
  if (shape.by_row) {
    Token token{};
    if (!token_of(row.types[kSide], row.captures[kSide], scratch, token)) {
      ++sink.rejected;
      return;
    }
    const std::string_view says = token.view();
    if (std::find(shape.bid.begin(), shape.bid.end(), says) != shape.bid.end()) {
      side = Side::bid;
    } else if (std::find(shape.ask.begin(), shape.ask.end(), says) != shape.ask.end()) {
      side = Side::ask;
    } else {
      ++sink.rejected;
      return;
    }
  }
  double price = 0.0;
  double quantity = 0.0;
  std::uint8_t price_decimals = 255;
  std::uint8_t quantity_decimals = 255;
  if (!to_level(row.types[kPrice], row.captures[kPrice], shape.exponent, shape.exact, scratch, price,
                price_decimals) ||
      !to_level(row.types[kQuantity], row.captures[kQuantity], 0, shape.exact, scratch, quantity,
                quantity_decimals)) {
    ++sink.rejected;
    return;
  }
  std::int64_t orders = 0;
  if (row.types[kOrders] > Type::null) {
    if (!to_integer(row.types[kOrders], row.captures[kOrders], scratch, orders) || orders < 0 ||
        orders > std::numeric_limits<std::uint32_t>::max()) {
      ++sink.rejected;
      orders = 0;
    }
  }
  put_level(sink, price, quantity, static_cast<std::uint32_t>(orders), side, price_decimals,
            quantity_decimals);
}

}  // namespace dragoman::json

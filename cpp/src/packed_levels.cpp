#include "packed_levels.hpp"

#include <algorithm>
#include <type_traits>

#include "packed_read.hpp"

namespace dragoman::packed {
namespace {

constexpr std::uint8_t kDecimalsUnknown = 255;

/// Price of one row; NaN where the wire holds none.
template <bool Big>
double read_price(const LevelTable& table, const std::uint8_t* at, Divisor by) noexcept {
  double value;
  switch (table.price.wire) {
    case Wire::f32:
      value = static_cast<double>(load<float, Big>(at));
      break;
    case Wire::f64:
      value = load<double, Big>(at);
      break;
    case Wire::u64:
      return divide(load<std::uint64_t, Big>(at), by);
    default:
      return divide(load_integer<Big>(table.price.wire, at), by);
  }
  if (!is_finite(value)) {
    return kNan;
  }
  return table.rounded ? round_to(value, by.value, table.digits) : value / by.value + 0.0;
}

template <bool Big>
double read_quantity(Wire wire, const std::uint8_t* at) noexcept {
  switch (wire) {
    case Wire::f32:
      return static_cast<double>(load<float, Big>(at)) + 0.0;
    case Wire::f64:
      return load<double, Big>(at) + 0.0;
    case Wire::u64:
      return static_cast<double>(load<std::uint64_t, Big>(at));
    default:
      return static_cast<double>(load_integer<Big>(wire, at));
  }
}

std::uint32_t clamp_orders(std::int64_t orders, Outcome& outcome) noexcept {
  if (orders < 0 || orders > std::int64_t{std::numeric_limits<std::uint32_t>::max()}) [[unlikely]] {
    ++outcome.rejected;
    return 0;
  }
  return static_cast<std::uint32_t>(orders);
}

/// Write one level and return where the next goes: padding and unreadable rows are written over.
Level* put(const LevelTable& table, double price, double quantity, std::uint32_t orders, Level* out,
           Outcome& outcome) noexcept {
  if (!is_finite(price) || !is_finite(quantity)) [[unlikely]] {
    ++outcome.rejected;
    return out;
  }
  const bool removes = table.action == Action::update && quantity == 0.0;
  *out = {price,
          quantity,
          orders,
          table.side,
          removes ? Action::remove : table.action,
          kDecimalsUnknown,
          kDecimalsUnknown};
  return out + !(table.drop_zero && price == 0.0 && quantity == 0.0);
}

template <bool Big>
Level* general_rows(const std::uint8_t* packet, const LevelTable& table, std::uint32_t rows, Divisor scale,
                    Level* out, Outcome& outcome) {
  const Divisor by = table.scaled ? scale : table.divisor;
  for (std::uint32_t i = 0; i < rows; ++i) {
    if (table.has_flag) {
      const std::int64_t flag =
          load_integer<Big>(table.flag.wire, packet + table.flag.offset + std::size_t{i} * table.flag.stride);
      if (flag != table.flag_mine) {
        // A value that is neither side's is counted once, in the pass over the bids.
        outcome.rejected += table.side == Side::bid && flag != table.flag_other;
        continue;
      }
    }
    const double price =
        read_price<Big>(table, packet + table.price.offset + std::size_t{i} * table.price.stride, by);
    const double quantity = read_quantity<Big>(
        table.quantity.wire, packet + table.quantity.offset + std::size_t{i} * table.quantity.stride);
    std::uint32_t orders = 0;
    if (table.has_orders) {
      const std::uint8_t* const at = packet + table.orders.offset + std::size_t{i} * table.orders.stride;
      orders = clamp_orders(load_integer<Big>(table.orders.wire, at), outcome);
    }
    out = put(table, price, quantity, orders, out, outcome);
  }
  return out;
}

struct NoOrders {};
struct Rounded {};  // f32 with digits

/// The tight loop for the shapes brokers use: 4- or 8-byte mantissas or floats, snapshot levels, no side
/// flag.
template <class Price, class Quantity, class Orders, bool Big>
Level* tight_rows(const std::uint8_t* packet, const LevelTable& table, std::uint32_t rows, Divisor scale,
                  Level* out, Outcome& outcome) {
  const Divisor by = table.scaled ? scale : table.divisor;
  const std::uint8_t* price_at = packet + table.price.offset;
  const std::uint8_t* quantity_at = packet + table.quantity.offset;
  const std::uint8_t* orders_at = packet + table.orders.offset;
  const std::size_t price_stride = table.price.stride;
  const std::size_t quantity_stride = table.quantity.stride;
  const std::size_t orders_stride = table.orders.stride;
  const std::uint64_t tail = static_cast<std::uint64_t>(table.side) << 32 |
                             std::uint64_t{kDecimalsUnknown} << 48 | std::uint64_t{kDecimalsUnknown} << 56;
  const std::size_t keep_zero = !table.drop_zero;
  for (std::uint32_t i = 0; i < rows;
       ++i, price_at += price_stride, quantity_at += quantity_stride, orders_at += orders_stride) {
    double price;
    if constexpr (std::integral<Price>) {
      price = divide(load<Price, Big>(price_at), by);
    } else {
      using Float = std::conditional_t<std::is_same_v<Price, Rounded>, float, Price>;
      price = static_cast<double>(load<Float, Big>(price_at));
      if (!is_finite(price)) [[unlikely]] {
        ++outcome.rejected;
        continue;
      }
      price =
          std::is_same_v<Price, Rounded> ? round_to(price, by.value, table.digits) : price / by.value + 0.0;
    }
    const double quantity = static_cast<double>(load<Quantity, Big>(quantity_at));
    // Orders, side, action (add) and both decimals are the last eight bytes: one store instead of five.
    std::uint64_t rest = tail;
    if constexpr (!std::is_same_v<Orders, NoOrders>) {
      rest |= load<Orders, Big>(orders_at);
    }
    out->price = price;
    out->quantity = quantity;
    std::memcpy(reinterpret_cast<char*>(out) + 16, &rest, sizeof rest);
    out += keep_zero | (price != 0.0) | (quantity != 0.0);
  }
  return out;
}
static_assert(offsetof(Level, orders) == 16 && offsetof(Level, side) == 20 &&
              offsetof(Level, price_decimals) == 22);
static_assert(static_cast<int>(Action::add) == 0);

template <class Price, class Quantity, bool Big>
LevelFn pick_orders(const LevelTable& table) noexcept {
  if (!table.has_orders) {
    return &tight_rows<Price, Quantity, NoOrders, Big>;
  }
  switch (table.orders.wire) {
    case Wire::u16:
      return &tight_rows<Price, Quantity, std::uint16_t, Big>;
    case Wire::u32:
      return &tight_rows<Price, Quantity, std::uint32_t, Big>;
    default:
      return nullptr;
  }
}

template <class Price, bool Big>
LevelFn pick_quantity(const LevelTable& table) noexcept {
  switch (table.quantity.wire) {
    case Wire::i32:
      return pick_orders<Price, std::int32_t, Big>(table);
    case Wire::u32:
      return pick_orders<Price, std::uint32_t, Big>(table);
    case Wire::i64:
      return pick_orders<Price, std::int64_t, Big>(table);
    default:
      return nullptr;
  }
}

template <bool Big>
LevelFn pick(const LevelTable& table) noexcept {
  LevelFn found = nullptr;
  if (table.action == Action::add && !table.has_flag) {
    switch (table.price.wire) {
      case Wire::i32:
        found = pick_quantity<std::int32_t, Big>(table);
        break;
      case Wire::u32:
        found = pick_quantity<std::uint32_t, Big>(table);
        break;
      case Wire::i64:
        found = pick_quantity<std::int64_t, Big>(table);
        break;
      case Wire::f32:
        found = table.rounded ? pick_quantity<Rounded, Big>(table) : nullptr;
        break;
      case Wire::f64:
        found = table.rounded ? nullptr : pick_quantity<double, Big>(table);
        break;
      default:
        break;
    }
  }
  return found != nullptr ? found : &general_rows<Big>;
}

std::size_t rows_that_fit(const ColumnOp& column, std::size_t length) noexcept {
  const std::size_t first = std::size_t{column.offset} + wire_width(column.wire);
  return first > length ? 0 : (length - first) / column.stride + 1;
}

template <bool Big>
Level* known_rows(const LevelTable& table, const std::uint8_t* values, const std::uint8_t* known,
                  std::uint32_t width, Divisor scale, Level* out, Outcome& outcome) noexcept {
  const Divisor by = table.scaled ? scale : table.divisor;
  for (std::uint32_t i = 0; i < table.rows; ++i) {
    const std::uint32_t price_at = table.price.offset + i * table.price.stride;
    const std::uint32_t quantity_at = table.quantity.offset + i * table.quantity.stride;
    const std::uint32_t orders_at = table.orders.offset + i * table.orders.stride;
    if (!known[price_at / width] || !known[quantity_at / width]) {
      continue;
    }
    std::uint32_t orders = 0;
    if (table.has_orders && known[orders_at / width]) {
      orders = clamp_orders(load_integer<Big>(table.orders.wire, values + orders_at), outcome);
    }
    out = put(table, read_price<Big>(table, values + price_at, by),
              read_quantity<Big>(table.quantity.wire, values + quantity_at), orders, out, outcome);
  }
  return out;
}

}  // namespace

LevelFn level_function(const LevelTable& table, bool big) noexcept {
  return big ? pick<true>(table) : pick<false>(table);
}

bool count_rows(const LevelTable& table, const std::uint8_t* packet, std::size_t length, bool big,
                std::uint32_t& rows) noexcept {
  if (table.how == LevelTable::Rows::fixed) {
    rows = table.rows;
    return true;
  }
  std::size_t fit = std::min(rows_that_fit(table.price, length), rows_that_fit(table.quantity, length));
  if (table.has_orders) {
    fit = std::min(fit, rows_that_fit(table.orders, length));
  }
  if (table.has_flag) {
    fit = std::min(fit, rows_that_fit(table.flag, length));
  }
  if (table.how == LevelTable::Rows::rest) {
    rows = static_cast<std::uint32_t>(fit);
    return true;
  }
  const std::uint64_t promised = load_part(table.count, packet, big);
  if (promised > table.rows || promised > fit) {
    return false;
  }
  rows = static_cast<std::uint32_t>(promised);
  return true;
}

Level* known_levels(const LevelTable& table, const std::uint8_t* values, const std::uint8_t* known,
                    std::uint32_t width, Divisor scale, bool big, Level* out, Outcome& outcome) noexcept {
  return big ? known_rows<true>(table, values, known, width, scale, out, outcome)
             : known_rows<false>(table, values, known, width, scale, out, outcome);
}

}  // namespace dragoman::packed

#include "packed_levels.hpp"

#include <algorithm>
#include <tuple>
#include <type_traits>

#include "packed_read.hpp"

namespace dragoman::packed {
namespace {

constexpr std::uint8_t kDecimalsUnknown = 255;

/// Price of one row; NaN where the wire holds none.
template <bool Big>
double read_price(const LevelTable& table, const std::uint8_t* at, const Divisor& by) noexcept {
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
Level* general_rows(const std::uint8_t* packet, const LevelTable& table, std::uint32_t rows,
                    const Divisor& scale, Level* out, Outcome& outcome) {
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

/// Orders, side, action (add) and both decimals are the last eight bytes of a level: one store instead of
/// five.
constexpr std::uint64_t tail_of(Side side) noexcept {
  return static_cast<std::uint64_t>(side) << 32 | std::uint64_t{kDecimalsUnknown} << 48 |
         std::uint64_t{kDecimalsUnknown} << 56;
}

/// The tight loop for the shapes brokers use: rows of one stride, mantissas or floats of 4 or 8 bytes,
/// snapshot levels, no side flag, padding dropped. `row` is the first row's price, from which the other
/// columns are counted.
template <class Price, class Quantity, class Orders, bool Big>
[[gnu::always_inline]] inline Level* tight_side(const std::uint8_t* row, std::uint32_t rows,
                                                std::size_t stride, std::ptrdiff_t quantity_at,
                                                std::ptrdiff_t orders_at, std::uint64_t tail, double divisor,
                                                std::uint64_t exact, int digits, Level* out,
                                                Outcome& outcome) {
  for (; rows != 0; --rows, row += stride) {
    double price;
    if constexpr (std::integral<Price>) {
      // Padding stands at the end of a side, so this branch is predicted; without it the next level's place
      // would have to wait for this one's values. Zero is zero in either byte order.
      if (load<Price, false>(row) == 0 && load<Quantity, false>(row + quantity_at) == 0) [[unlikely]] {
        continue;
      }
      price = divide(load<Price, Big>(row), Divisor{divisor, exact});
    } else {
      using Float = std::conditional_t<std::is_same_v<Price, Rounded>, float, Price>;
      price = static_cast<double>(load<Float, Big>(row));
      if (!is_finite(price)) [[unlikely]] {
        ++outcome.rejected;
        continue;
      }
      price = std::is_same_v<Price, Rounded> ? round_to(price, divisor, digits) : price / divisor + 0.0;
      if (price == 0.0 && load<Quantity, false>(row + quantity_at) == 0) [[unlikely]] {
        continue;
      }
    }
    std::uint64_t rest = tail;
    if constexpr (!std::is_same_v<Orders, NoOrders>) {
      rest |= load<Orders, Big>(row + orders_at);
    }
    out->price = price;
    out->quantity = static_cast<double>(load<Quantity, Big>(row + quantity_at));
    std::memcpy(reinterpret_cast<char*>(out) + 16, &rest, sizeof rest);
    ++out;
  }
  return out;
}

template <class Price, class Quantity, class Orders, bool Big>
Level* tight_rows(const std::uint8_t* packet, const LevelTable& table, std::uint32_t rows,
                  const Divisor& scale, Level* out, Outcome& outcome) {
  const Divisor& by = table.scaled ? scale : table.divisor;
  const auto price_at = static_cast<std::ptrdiff_t>(table.price.offset);
  return tight_side<Price, Quantity, Orders, Big>(
      packet + price_at, rows, table.price.stride,
      static_cast<std::ptrdiff_t>(table.quantity.offset) - price_at,
      static_cast<std::ptrdiff_t>(table.orders.offset) - price_at, tail_of(table.side), by.value, by.exact,
      table.digits, out, outcome);
}

/// A bid and an ask table of one shape, for a whole run of packets: what the layout fixes is set up once.
template <class Price, class Quantity, class Orders, bool Big>
Level* tight_depth(const Depth& depth, const Run& run, const Level* frame, Level* out) {
  const LevelTable& bids = depth.tables[0];
  const LevelTable& asks = depth.tables[1];
  const auto price_at = static_cast<std::ptrdiff_t>(bids.price.offset);
  const std::ptrdiff_t quantity_at = static_cast<std::ptrdiff_t>(bids.quantity.offset) - price_at;
  const std::ptrdiff_t orders_at = static_cast<std::ptrdiff_t>(bids.orders.offset) - price_at;
  const std::ptrdiff_t asks_at = static_cast<std::ptrdiff_t>(asks.price.offset) - price_at;
  const std::size_t stride = bids.price.stride;
  const std::uint32_t rows = bids.rows;
  const bool scaled = bids.scaled;
  const int digits = bids.digits;
  const std::uint8_t* packet = run.packet + price_at;
  const std::size_t packet_stride = run.stride;
  Record* record = run.records;
  Outcome* outcome = run.outcomes;
  const Divisor* scale = scaled ? run.scales : &bids.divisor;
  for (std::uint32_t left = run.count; left != 0;
       --left, ++record, packet += packet_stride, scale += scaled) {
    const double divisor = scale->value;
    const std::uint64_t exact = scale->exact;
    Level* const first = out;
    Level* const ask =
        tight_side<Price, Quantity, Orders, Big>(packet, rows, stride, quantity_at, orders_at,
                                                 tail_of(Side::bid), divisor, exact, digits, first, *outcome);
    out = tight_side<Price, Quantity, Orders, Big>(packet + asks_at, rows, stride, quantity_at, orders_at,
                                                   tail_of(Side::ask), divisor, exact, digits, ask, *outcome);
    record->level_begin = static_cast<std::uint32_t>(first - frame);
    record->level_count = static_cast<std::uint32_t>(out - first);
    if (first != ask && ask != out) [[likely]] {
      record->values[static_cast<std::size_t>(Slot::bid_price)] = first->price;
      record->values[static_cast<std::size_t>(Slot::bid_quantity)] = first->quantity;
      record->values[static_cast<std::size_t>(Slot::ask_price)] = ask->price;
      record->values[static_cast<std::size_t>(Slot::ask_quantity)] = ask->quantity;
    } else {
      const std::uint32_t gone = fill_top(kTopOfBook, first, ask, out, *record);
      record->present = record->changed = record->present & ~gone;
    }
    outcome += !std::integral<Price>;
  }
  return out;
}

/// The first row that is no padding; null where all are.
template <class Price, class Quantity>
[[gnu::always_inline]] inline const std::uint8_t* first_row(const std::uint8_t* row, std::uint32_t rows,
                                                            std::size_t stride,
                                                            std::ptrdiff_t quantity_at) noexcept {
  for (; rows != 0; --rows, row += stride) {
    if (load<Price, false>(row) != 0 || load<Quantity, false>(row + quantity_at) != 0) [[likely]] {
      return row;
    }
  }
  return nullptr;
}

/// What `tight_depth` puts into the records, and no level.
template <class Price, class Quantity, bool Big>
void tight_tops(const Depth& depth, const Run& run) {
  const LevelTable& bids = depth.tables[0];
  const auto price_at = static_cast<std::ptrdiff_t>(bids.price.offset);
  const std::ptrdiff_t quantity_at = static_cast<std::ptrdiff_t>(bids.quantity.offset) - price_at;
  const std::ptrdiff_t asks_at = static_cast<std::ptrdiff_t>(depth.tables[1].price.offset) - price_at;
  const std::size_t stride = bids.price.stride;
  const std::uint32_t rows = bids.rows;
  const bool scaled = bids.scaled;
  const std::uint8_t* packet = run.packet + price_at;
  const std::size_t packet_stride = run.stride;
  Record* record = run.records;
  const Divisor* scale = scaled ? run.scales : &bids.divisor;
  const auto top = [quantity_at](const std::uint8_t* row, const Divisor& by) {
    return Level{divide(load<Price, Big>(row), by),
                 static_cast<double>(load<Quantity, Big>(row + quantity_at)),
                 0,
                 Side::bid,
                 Action::add,
                 kDecimalsUnknown,
                 kDecimalsUnknown};
  };
  for (std::uint32_t left = run.count; left != 0;
       --left, ++record, packet += packet_stride, scale += scaled) {
    const Divisor by{scale->value, scale->exact};
    const std::uint8_t* const bid = first_row<Price, Quantity>(packet, rows, stride, quantity_at);
    const std::uint8_t* const ask = first_row<Price, Quantity>(packet + asks_at, rows, stride, quantity_at);
    if (bid != nullptr && ask != nullptr) [[likely]] {
      const Level best_bid = top(bid, by);
      const Level best_ask = top(ask, by);
      record->values[static_cast<std::size_t>(Slot::bid_price)] = best_bid.price;
      record->values[static_cast<std::size_t>(Slot::bid_quantity)] = best_bid.quantity;
      record->values[static_cast<std::size_t>(Slot::ask_price)] = best_ask.price;
      record->values[static_cast<std::size_t>(Slot::ask_quantity)] = best_ask.quantity;
    } else {
      const Level one = bid != nullptr || ask != nullptr ? top(bid != nullptr ? bid : ask, by) : Level{};
      const Level* const asks = &one + (bid != nullptr);
      const std::uint32_t gone =
          fill_top(kTopOfBook, &one, asks, &one + (bid != nullptr || ask != nullptr), *record);
      record->present = record->changed = record->present & ~gone;
    }
  }
}
static_assert(offsetof(Level, orders) == 16 && offsetof(Level, side) == 20 &&
              offsetof(Level, price_decimals) == 22);
static_assert(static_cast<int>(Action::add) == 0);

struct Tight {
  LevelFn rows = nullptr;
  DepthFn depth = nullptr;
  TopsFn tops = nullptr;
};

template <class Price, class Quantity, class Orders, bool Big>
Tight tight() noexcept {
  Tight found{&tight_rows<Price, Quantity, Orders, Big>, &tight_depth<Price, Quantity, Orders, Big>, nullptr};
  if constexpr (std::integral<Price>) {
    found.tops = &tight_tops<Price, Quantity, Big>;
  }
  return found;
}

template <class Price, class Quantity, bool Big>
Tight pick_orders(const LevelTable& table) noexcept {
  if (!table.has_orders) {
    return tight<Price, Quantity, NoOrders, Big>();
  }
  switch (table.orders.wire) {
    case Wire::u16:
      return tight<Price, Quantity, std::uint16_t, Big>();
    case Wire::u32:
      return tight<Price, Quantity, std::uint32_t, Big>();
    default:
      return {};
  }
}

template <class Price, bool Big>
Tight pick_quantity(const LevelTable& table) noexcept {
  switch (table.quantity.wire) {
    case Wire::i32:
      return pick_orders<Price, std::int32_t, Big>(table);
    case Wire::u32:
      return pick_orders<Price, std::uint32_t, Big>(table);
    case Wire::i64:
      return pick_orders<Price, std::int64_t, Big>(table);
    default:
      return {};
  }
}

template <bool Big>
Tight pick(const LevelTable& table) noexcept {
  Tight found;
  const std::uint32_t stride = table.price.stride;
  const bool even = table.quantity.stride == stride && (!table.has_orders || table.orders.stride == stride);
  if (table.action == Action::add && table.drop_zero && !table.has_flag && even) {
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
        found = table.rounded ? pick_quantity<Rounded, Big>(table) : Tight{};
        break;
      case Wire::f64:
        found = table.rounded ? Tight{} : pick_quantity<double, Big>(table);
        break;
      default:
        break;
    }
  }
  return found;
}

std::size_t rows_that_fit(const ColumnOp& column, std::size_t length) noexcept {
  const std::size_t first = std::size_t{column.offset} + wire_width(column.wire);
  return first > length ? 0 : (length - first) / column.stride + 1;
}

template <bool Big>
Level* known_rows(const LevelTable& table, const std::uint8_t* values, const std::uint8_t* known,
                  std::uint32_t width, const Divisor& scale, Level* out, Outcome& outcome) noexcept {
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

std::uint32_t fill_top(std::uint32_t fill, const Level* bid, const Level* ask, const Level* end,
                       Record& record) noexcept {
  const struct {
    Slot slot;
    const Level* level;
    double Level::* value;
  } sources[] = {{Slot::bid_price, bid != ask ? bid : nullptr, &Level::price},
                 {Slot::bid_quantity, bid != ask ? bid : nullptr, &Level::quantity},
                 {Slot::ask_price, ask != end ? ask : nullptr, &Level::price},
                 {Slot::ask_quantity, ask != end ? ask : nullptr, &Level::quantity}};
  std::uint32_t gone = 0;
  for (const auto& source : sources) {
    const auto index = static_cast<std::size_t>(source.slot);
    if ((fill >> index & 1u) == 0) {
      continue;
    }
    record.values[index] = source.level != nullptr ? source.level->*source.value : kNan;
    gone |= static_cast<std::uint32_t>(source.level == nullptr) << index;
  }
  return gone;
}

LevelFn level_function(const LevelTable& table, bool big) noexcept {
  const Tight found = big ? pick<true>(table) : pick<false>(table);
  return found.rows != nullptr ? found.rows : big ? &general_rows<true> : &general_rows<false>;
}

void choose_loops(Depth& depth, bool big) noexcept {
  if (depth.tables.size() != 2 || depth.bid_tables != 1 || !depth.fixed || depth.fill != kTopOfBook) {
    return;
  }
  const LevelTable& bids = depth.tables[0];
  const LevelTable& asks = depth.tables[1];
  const auto shape = [](const LevelTable& table) {
    const auto from_price = [&table](const ColumnOp& column) { return column.offset - table.price.offset; };
    return std::tuple(table.rows, table.price.wire, table.price.stride, table.quantity.wire,
                      table.quantity.stride, from_price(table.quantity), table.has_orders, table.orders.wire,
                      table.orders.stride, table.has_orders ? from_price(table.orders) : 0, table.scaled,
                      table.rounded, table.digits, table.divisor.exact, table.drop_zero);
  };
  if (shape(bids) != shape(asks)) {
    return;
  }
  const Tight found = big ? pick<true>(bids) : pick<false>(bids);
  depth.run = found.depth;
  depth.tops = found.tops;
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
                    std::uint32_t width, const Divisor& scale, bool big, Level* out,
                    Outcome& outcome) noexcept {
  return big ? known_rows<true>(table, values, known, width, scale, out, outcome)
             : known_rows<false>(table, values, known, width, scale, out, outcome);
}

}  // namespace dragoman::packed

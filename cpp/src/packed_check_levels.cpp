#include <algorithm>

#include "packed_check.hpp"
#include "packed_levels.hpp"
#include "packed_read.hpp"

namespace dragoman::packed {
namespace {

constexpr std::int64_t kMostRows = 65536;

struct Columns {
  const LevelsSpec& spec;
  const PacketContext& context;
  const Place& place;
  std::uint64_t rows;  ///< rows whose bytes must be there; 0 where the packet's length decides

  ColumnOp compile(const ColumnSpec& column, std::string_view name, bool orders) const {
    const Place here = place.in(name);
    ColumnOp compiled;
    compiled.wire = compile_wire(column.type, here);
    if (orders && (compiled.wire == Wire::f32 || compiled.wire == Wire::f64)) {
      here.fail("type '" + column.type + "'", "an integer type");
    }
    const std::int64_t stride = column.stride != 0 ? column.stride : spec.stride;
    if (stride < 0 || stride > (std::int64_t{1} << 20) || (stride == 0 && rows != 1)) {
      here.fail("stride " + std::to_string(stride), "a positive stride, from the column or the table");
    }
    // A row read from the packet's end needs a stride even where only one fits.
    compiled.stride = static_cast<std::uint32_t>(stride == 0 ? 1 : stride);
    const std::uint32_t width = wire_width(compiled.wire);
    if (rows != 0) {
      compiled.offset =
          compile_offset(column.offset, (rows - 1) * compiled.stride + width, context.size, here);
    } else {
      compiled.offset = compile_offset(column.offset, 0, std::uint64_t{1} << 24, here);
    }
    if (context.vector) {
      const auto unit = static_cast<std::int64_t>(width);
      if (column.offset % unit != 0 || (rows > 1 && compiled.stride % width != 0)) {
        here.fail("offset " + std::to_string(column.offset) + " and stride " + std::to_string(stride),
                  "multiples of the values' " + std::to_string(width) + " bytes");
      }
    }
    return compiled;
  }
};

LevelTable compile_table(const LevelsSpec& spec, Kind kind, const PacketContext& context,
                         const Place& place) {
  LevelTable table;
  Columns columns{spec, context, place, 0};
  if (const auto* fixed = std::get_if<std::int64_t>(&spec.rows)) {
    if (*fixed < 1 || *fixed > kMostRows) {
      place.fail("rows " + std::to_string(*fixed), "1 to " + std::to_string(kMostRows));
    }
    table.how = LevelTable::Rows::fixed;
    table.rows = static_cast<std::uint32_t>(*fixed);
    columns.rows = table.rows;
  } else {
    if (!context.open_ended) {
      place.fail("rows that the packet decides", "grows=True and a stream whose packets have a length");
    }
    if (const auto* count = std::get_if<PartSpec>(&spec.rows)) {
      table.how = LevelTable::Rows::counted;
      table.count = compile_part(*count, context.size, false, place.in("rows"));
      if (spec.max_rows < 1 || spec.max_rows > kMostRows) {
        place.fail("max_rows " + std::to_string(spec.max_rows), "1 to " + std::to_string(kMostRows));
      }
      table.rows = static_cast<std::uint32_t>(spec.max_rows);
    } else {
      const std::string& word = std::get<std::string>(spec.rows);
      if (word != "rest") {
        place.fail("rows '" + word + "'", "a number, a Part or 'rest'");
      }
      table.how = LevelTable::Rows::rest;
    }
  }
  table.price = columns.compile(spec.price, "price", false);
  table.quantity = columns.compile(spec.quantity, "quantity", false);
  if (spec.orders) {
    table.has_orders = true;
    table.orders = columns.compile(*spec.orders, "orders", true);
  }
  if (spec.empty != "zero" && spec.empty != "none") {
    place.fail("empty '" + spec.empty + "'", "zero or none");
  }
  table.drop_zero = spec.empty == "zero";
  if (spec.scaled && (spec.divisor != 1 || spec.digits)) {
    place.fail("scaled and a divisor or digits of its own", "one of them");
  }
  if (spec.scaled && context.fixed && context.fixed->exact == 1) {
    place.fail("scaled, and the layout has no scale", "a Scale with a divisor above 1, or scaled=False");
  }
  table.divisor = compile_divisor(spec.divisor, place);
  table.scaled = spec.scaled;
  if (spec.digits) {
    if (table.price.wire != Wire::f32 && table.price.wire != Wire::f64) {
      place.fail("digits on price type '" + spec.price.type + "'", "f32 or f64; integers use a divisor");
    }
    if (spec.divisor != 1) {
      place.fail("digits and a divisor", "one of the two");
    }
    if (*spec.digits < 0 || *spec.digits > 15) {
      place.fail("digits " + std::to_string(*spec.digits), "0 to 15");
    }
    table.rounded = true;
    table.digits = static_cast<std::uint8_t>(*spec.digits);
    (void)make_divisor(static_cast<std::uint64_t>(*spec.digits), 1, table.divisor);
  }
  if (spec.unchanged && !context.vector) {
    place.fail("unchanged", "none: only the tables of a topic's schema keep rows");
  }
  if (context.vector && table.how != LevelTable::Rows::fixed) {
    place.fail("rows that the packet decides", "a number of rows, in a schema");
  }
  table.action = kind == Kind::depth_delta ? Action::update : Action::add;
  return table;
}

}  // namespace

Depth compile_depth(const std::vector<LevelsSpec>& levels, Kind kind, const PacketContext& context,
                    std::uint32_t seen, const Place& stream) {
  Depth depth;
  if (!levels.empty() && (kind == Kind::trade || kind == Kind::status)) {
    stream.fail("levels in a trade or status", "kind quote, depth_snapshot or depth_delta");
  }
  std::vector<LevelTable> asks;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const LevelsSpec& spec = levels[i];
    const Place place = stream.in("levels[" + std::to_string(i) + "]");
    LevelTable table = compile_table(spec, kind, context, place);
    const std::string* const side = std::get_if<std::string>(&spec.side);
    if (side != nullptr) {
      if (*side != "bid" && *side != "ask") {
        place.fail("side '" + *side + "'", "bid, ask or a SideFlag");
      }
      table.side = *side == "bid" ? Side::bid : Side::ask;
      table.run = level_function(table, context.big);
      (table.side == Side::bid ? depth.tables : asks).push_back(table);
    } else {
      if (context.vector) {
        place.fail("a side flag", "bid or ask, in a schema");
      }
      const SideFlagSpec& flag = std::get<SideFlagSpec>(spec.side);
      if (flag.bid == flag.ask) {
        place.fail("a side flag of " + std::to_string(flag.bid) + " for both sides", "two values");
      }
      const Columns columns{spec, context, place, table.how == LevelTable::Rows::fixed ? table.rows : 0};
      table.flag = columns.compile({flag.type, flag.offset, 0}, "side", true);
      table.has_flag = true;
      for (const Side one : {Side::bid, Side::ask}) {
        table.side = one;
        table.flag_mine = one == Side::bid ? flag.bid : flag.ask;
        table.flag_other = one == Side::bid ? flag.ask : flag.bid;
        table.run = level_function(table, context.big);
        (one == Side::bid ? depth.tables : asks).push_back(table);
      }
    }
    if (table.how == LevelTable::Rows::fixed) {
      depth.fixed_levels += table.rows;
    } else {
      depth.fixed = false;
      const std::uint32_t stride = std::max(table.price.stride, table.quantity.stride);
      depth.levels_per_byte += 1.0 / stride;
    }
  }
  depth.bid_tables = depth.tables.size();
  depth.clears = kind == Kind::depth_snapshot && depth.tables.empty() != asks.empty();
  depth.fixed_levels += depth.clears;
  depth.clear_side = depth.tables.empty() ? Side::ask : Side::bid;
  if (kind != Kind::depth_delta) {
    constexpr std::uint32_t kBid =
        1u << static_cast<unsigned>(Slot::bid_price) | 1u << static_cast<unsigned>(Slot::bid_quantity);
    constexpr std::uint32_t kAsk =
        1u << static_cast<unsigned>(Slot::ask_price) | 1u << static_cast<unsigned>(Slot::ask_quantity);
    depth.fill = ((depth.tables.empty() ? 0 : kBid) | (asks.empty() ? 0 : kAsk)) & ~seen;
  }
  depth.tables.insert(depth.tables.end(), asks.begin(), asks.end());
  choose_loops(depth, context.big);
  return depth;
}

}  // namespace dragoman::packed

#include <algorithm>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>

#include "dragoman/json_layout.hpp"
#include "json_build.hpp"
#include "json_number.hpp"
#include "packed_check.hpp"
#include "packed_levels.hpp"

namespace dragoman::json {
namespace {

using packed::Place;

constexpr std::int64_t kMostShiftSeconds = 1'000'000'000;

std::int16_t exponent_of(std::int64_t divisor, const Place& place) {
  std::int16_t exponent = 0;
  std::int64_t left = divisor;
  while (left > 1 && left % 10 == 0) {
    left /= 10;
    ++exponent;
  }
  if (left != 1) {
    place.fail("divisor " + std::to_string(divisor), "a power of ten");
  }
  return exponent;
}

Value compile_value(const ValueSpec& spec) {
  Value value{Value::How::text, false, 0, {}, 0, 0};
  if (const auto* const text = std::get_if<std::string>(&spec)) {
    value.text = *text;
  } else if (const auto* const integer = std::get_if<std::int64_t>(&spec)) {
    value.how = Value::How::integer;
    value.integer = *integer;
    value.text = std::to_string(*integer);
  } else {
    value.how = Value::How::boolean;
    value.yes = std::get<bool>(spec);
  }
  const std::size_t head = std::min<std::size_t>(8, value.text.size());
  std::memcpy(&value.word, value.text.data(), head);
  std::memset(&value.mask, 0xFF, head);
  return value;
}

std::vector<Value> compile_values(const std::vector<ValueSpec>& specs, const Place& place) {
  std::vector<Value> values;
  for (const ValueSpec& spec : specs) {
    values.push_back(compile_value(spec));
  }
  if (values.empty()) {
    place.fail("no values", "at least one to compare with");
  }
  return values;
}

Condition compile_when(const WhenSpec& spec, Builder& builder, const Home& home, const Place& place) {
  Condition condition;
  condition.depth = 0;
  if (spec.how == "equals") {
    condition.how = Condition::How::equals;
    condition.values = compile_values(spec.values, place);
  } else if (spec.how == "has" || spec.how == "absent") {
    condition.how = spec.how == "has" ? Condition::How::has : Condition::How::absent;
  } else {
    place.fail("how '" + spec.how + "'", "equals, has or absent");
  }
  if (spec.paths.empty()) {
    place.fail("no paths", "at least one");
  }
  for (const PathSpec& path : spec.paths) {
    const Spot spot = builder.spot(home, path, place);
    condition.slots.push_back(spot.slot);
    condition.depth = std::max(condition.depth, builder.depth(spot.scope));
  }
  condition.plain = condition.how == Condition::How::equals && condition.slots.size() == 1 &&
                    condition.values.size() == 1 && condition.values[0].how == Value::How::text;
  return condition;
}

Op compile_field(const FieldSpec& spec, Builder& builder, const Home& home, std::uint32_t& seen,
                 const Place& layout) {
  const Place place = layout.in("field", spec.to);
  const int bit = packed::presence_bit(spec.to);
  if (bit < 0) {
    place.fail("slot '" + spec.to + "'",
               "a name of FIELDS or ts_event, last_trade_time, sequence, prev_sequence");
  }
  Op op{};
  op.bit = 1u << bit;
  if ((seen & op.bit) != 0) {
    place.fail("a second field of that name", "one");
  }
  seen |= op.bit;
  op.slot = builder.spot(home, spec.path, place).slot;
  op.absent = spec.absent;
  op.listed = !spec.absent.empty();
  op.exponent = exponent_of(spec.divisor, place);
  const bool time = op.bit == kHasTsEvent || op.bit == kHasLastTradeTime;
  const bool integer = time || bit >= 24;
  op.to = static_cast<std::uint8_t>(integer ? bit - 24 : bit);
  op.how = OpHow::slot;
  if (time) {
    constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {
        {"s", 1'000'000'000}, {"ms", 1'000'000}, {"us", 1'000}, {"ns", 1}, {"rfc3339", 0}};
    const auto* const unit = std::find_if(std::begin(kUnits), std::end(kUnits),
                                          [&](const auto& known) { return spec.unit == known.first; });
    if (unit == std::end(kUnits)) {
      place.fail("unit " + (spec.unit ? "'" + *spec.unit + "'" : std::string("None")),
                 "s, ms, us, ns or rfc3339 for a time");
    }
    op.how = unit->second == 0 ? OpHow::rfc3339 : OpHow::time;
    op.unit_ns = unit->second;
    if (spec.shift_s < -kMostShiftSeconds || spec.shift_s > kMostShiftSeconds) {
      place.fail("shift_s " + std::to_string(spec.shift_s), "at most 10^9 seconds either way");
    }
    op.add = spec.shift_s * 1'000'000'000;
  } else {
    if (spec.unit || spec.shift_s != 0) {
      place.fail("unit or shift_s", "neither, which are for times");
    }
    op.how = integer ? OpHow::integer : OpHow::slot;
    op.unit_ns = 1;
    op.add = spec.add;
  }
  op.plain = op.how == OpHow::slot && !op.listed;
  if (spec.add != 0 && (time || !integer)) {
    place.fail("add " + std::to_string(spec.add), "0, except for sequence and prev_sequence");
  }
  if (integer && op.exponent != 0) {
    place.fail("divisor " + std::to_string(spec.divisor), "1 for an integer");
  }
  return op;
}

/// The part of a row as a position or a key; both kinds in one row make no sense.
void place_part(const Step& step, std::size_t part, Shape& shape,
                std::vector<std::pair<std::string, std::uint16_t>>& keys, const Place& place) {
  if (const auto* const key = std::get_if<std::string>(&step)) {
    keys.emplace_back(*key, static_cast<std::uint16_t>(part));
    return;
  }
  const std::int64_t position = std::get<std::int64_t>(step);
  if (position < 0 || position > 255) {
    place.fail("position " + std::to_string(position), "0 to 255");
  }
  shape.at[part] = static_cast<std::uint16_t>(position);
}

void compile_table(const LevelsSpec& spec, Builder& builder, const Home& home, MessageLayout& layout,
                   const Place& place) {
  Shape shape;
  shape.exact = spec.exact;
  shape.exponent = exponent_of(spec.divisor, place);
  shape.by_row = spec.side == "row";
  shape.side = spec.side == "ask" ? Side::ask : Side::bid;
  std::vector<std::pair<std::string, std::uint16_t>> keys;
  place_part(spec.price, 0, shape, keys, place);
  place_part(spec.quantity, 1, shape, keys, place);
  std::size_t parts = 2;
  if (spec.orders) {
    place_part(*spec.orders, 2, shape, keys, place);
    ++parts;
  }
  if (shape.by_row) {
    if (!spec.side_at || spec.bid.empty() || spec.ask.empty()) {
      place.fail("a side without place, bid or ask", "where it stands and what each side is called");
    }
    place_part(*spec.side_at, 3, shape, keys, place);
    shape.bid = spec.bid;
    shape.ask = spec.ask;
    ++parts;
  }
  if (!keys.empty() && keys.size() != parts) {
    place.fail("positions and keys", "one of them for all parts of a row");
  }
  shape.objects = !keys.empty();
  shape.plain = !shape.objects && !shape.by_row && !spec.orders && shape.at[0] == 0 && shape.at[1] == 1 &&
                shape.exponent == 0;
  if (spec.path->up != 0) {
    place.fail("a path that leads outside", "levels inside the message or element that they belong to");
  }
  const Spot spot = builder.spot(home, *spec.path, place);
  layout.tables.push_back({spot.slot, builder.shape(shape, keys), kNone});
  builder.note_rows(spot, layout.tables.back().shape);
}

void compile_levels(const LayoutSpec& spec, Builder& builder, const Home& home, MessageLayout& layout,
                    std::uint32_t seen, const Place& place) {
  bool bids = false;
  bool asks = false;
  std::uint16_t bid_rows = 0;
  std::uint16_t ask_rows = 0;
  for (const bool ask_turn : {false, true}) {
    for (std::size_t i = 0; i < spec.levels.size(); ++i) {
      const LevelsSpec& levels = spec.levels[i];
      const Place here = place.in("levels " + std::to_string(i));
      if (levels.side != "bid" && levels.side != "ask" && levels.side != "row") {
        here.fail("side '" + levels.side + "'", "bid, ask or a JsonSide");
      }
      if ((levels.side == "ask") != ask_turn) {
        continue;
      }
      bids |= levels.side != "ask";
      asks |= levels.side != "bid";
      layout.any_by_row |= levels.side == "row";
      if (levels.path.has_value() != levels.rows.empty()) {
        here.fail("a path and rows, or neither", "one of them");
      }
      if (levels.path) {
        compile_table(levels, builder, home, layout, here);
        continue;
      }
      if (levels.side == "row") {
        here.fail("rows with a side of their own", "side bid or ask");
      }
      for (const RowSpec& row : levels.rows) {
        Row compiled{};
        compiled.side = ask_turn ? Side::ask : Side::bid;
        compiled.exact = levels.exact;
        compiled.exponent = exponent_of(levels.divisor, here);
        compiled.price = builder.spot(home, row.price, here).slot;
        compiled.quantity = builder.spot(home, row.quantity, here).slot;
        compiled.orders = row.orders ? builder.spot(home, *row.orders, here).slot : kNone;
        std::uint16_t& count = ask_turn ? ask_rows : bid_rows;
        compiled.merged = static_cast<std::uint16_t>((ask_turn ? kMaxRows / 2 : 0) + count);
        if (++count > kMaxRows / 2) {
          here.fail("more than " + std::to_string(kMaxRows / 2) + " rows", "that many of one side");
        }
        layout.rows.push_back(compiled);
      }
    }
  }
  if (!layout.rows.empty() && !layout.tables.empty()) {
    place.fail("levels with rows and levels with a path", "one kind in a layout");
  }
  if (layout.merge && !layout.tables.empty() && !layout.deltas && layout.prototype.kind == Kind::quote) {
    place.fail("a table of levels in a merged quote", "rows, which can be merged, or a layout of its own");
  }
  if (spec.levels.empty()) {
    return;
  }
  layout.clears = !layout.deltas && spec.snapshot_when == std::nullopt && bids != asks &&
                  layout.prototype.kind == Kind::depth_snapshot;
  layout.clear_side = bids ? Side::bid : Side::ask;
  if (!layout.deltas) {
    constexpr std::uint32_t kAsk =
        1u << static_cast<unsigned>(Slot::ask_price) | 1u << static_cast<unsigned>(Slot::ask_quantity);
    layout.fill = ((bids ? packed::kTopOfBook & ~kAsk : 0) | (asks ? kAsk : 0)) & ~seen;
  }
}

void compile_key(const KeySpec& spec, Builder& builder, const Home& home, MessageLayout& layout,
                 const Place& place) {
  layout.has_key = true;
  layout.number_key = spec.number;
  layout.join = spec.join;
  layout.until = spec.until.value_or("");
  for (const PathSpec& path : spec.paths) {
    layout.key_slots.push_back(builder.spot(home, path, place).slot);
  }
  if (layout.key_slots.empty() || layout.key_slots.size() > 8) {
    place.fail(std::to_string(layout.key_slots.size()) + " paths", "1 to 8");
  }
  layout.plain_key = !spec.number && layout.key_slots.size() == 1 && layout.until.empty();
  if (spec.number && (layout.key_slots.size() > 1 || spec.until)) {
    place.fail("a number of several parts", "one whole number");
  }
}

void check_control(const LayoutSpec& spec, const Place& place) {
  if (!spec.fields.empty() || !spec.levels.empty() || spec.key || spec.aggressor || spec.merge) {
    place.fail("a control layout with fields, levels or key", "conditions only: its messages go to the feed");
  }
}

MessageLayout compile_layout(const LayoutSpec& spec, std::size_t index, Builder& builder,
                             const Place& place) {
  MessageLayout layout;
  layout.name = spec.name;
  layout.control = spec.control;
  layout.prototype = packed::empty_record();
  layout.prototype.kind = packed::compile_kind(spec.kind, place);
  layout.prototype.mode = packed::compile_mode(spec.mode, place);
  layout.prototype.flags = packed::compile_flags(spec.flags, place);
  layout.prototype.layout = static_cast<std::uint32_t>(index);
  layout.merge = spec.merge;
  layout.base = spec.base;
  layout.deltas = layout.prototype.kind == Kind::depth_delta && !spec.snapshot_when;
  const Home home = builder.home(spec, place);
  layout.chain = home.chain;
  layout.scope = home.chain.back();
  for (std::size_t i = 0; i < spec.when.size(); ++i) {
    layout.when.push_back(compile_when(spec.when[i], builder, home, place.in("when " + std::to_string(i))));
  }
  if (spec.control) {
    check_control(spec, place);
    return layout;
  }
  if (spec.key) {
    compile_key(*spec.key, builder, home, layout, place.in("key"));
  }
  if (spec.merge && !spec.key) {
    place.fail("merge without key", "a key: the last record of each instrument is kept by it");
  }
  if (spec.base && !spec.merge) {
    place.fail("base without merge", "merge, or neither");
  }
  std::uint32_t seen = 0;
  for (const FieldSpec& field : spec.fields) {
    layout.ops.push_back(compile_field(field, builder, home, seen, place));
  }
  if (spec.snapshot_when) {
    if (layout.prototype.kind != Kind::depth_delta && layout.prototype.kind != Kind::depth_snapshot) {
      place.fail("snapshot_when in a layout of kind " + spec.kind, "depth_snapshot or depth_delta");
    }
    if (spec.levels.empty()) {
      place.fail("snapshot_when without levels", "levels");
    }
    layout.snapshot_when.push_back(
        compile_when(*spec.snapshot_when, builder, home, place.in("snapshot_when")));
  }
  compile_levels(spec, builder, home, layout, seen, place);
  if (spec.aggressor) {
    const Place here = place.in("aggressor");
    layout.has_aggressor = true;
    layout.aggressor = builder.spot(home, spec.aggressor->path, here).slot;
    layout.buyer = compile_values(spec.aggressor->buyer, here);
    layout.seller = compile_values(spec.aggressor->seller, here);
  }
  layout.mask = seen | layout.fill;
  layout.only_fields = layout.plain_key && !layout.merge && spec.levels.empty() && !spec.aggressor;
  layout.whole = layout.chain.size() == 1 && !layout.control;
  return layout;
}

}  // namespace

std::vector<std::string> Layout::packet_names() const {
  std::vector<std::string> names;
  for (const MessageLayout& layout : layouts) {
    names.push_back(layout.name);
  }
  return names;
}

std::shared_ptr<const Layout> compile(const StreamSpec& spec) {
  const Place stream = Place("stream '" + spec.name + "'");
  if (spec.encoding != "json" && spec.encoding != "msgpack") {
    stream.fail("encoding '" + spec.encoding + "'", "json or msgpack");
  }
  if (spec.layouts.empty() || spec.layouts.size() > 4096) {
    stream.fail(std::to_string(spec.layouts.size()) + " layouts", "1 to 4096");
  }
  auto made = std::make_shared<Layout>();
  Layout& layout = *made;
  layout.name = spec.name;
  layout.msgpack = spec.encoding == "msgpack";
  layout.positional = spec.positional;
  layout.plain = spec.plain;
  Builder builder(layout);
  for (std::size_t i = 0; i < spec.layouts.size(); ++i) {
    const LayoutSpec& one = spec.layouts[i];
    const Place place = stream.in("layout", one.name);
    for (std::size_t j = 0; j < i; ++j) {
      if (spec.layouts[j].name == one.name) {
        place.fail("a second layout of that name", "names that differ");
      }
    }
    layout.layouts.push_back(compile_layout(one, i, builder, place));
    layout.merges |= one.merge;
    if (one.merge && !layout.layouts.back().rows.empty()) {
      layout.merged_rows = kMaxRows;
    }
  }
  builder.finish(stream);
  return made;
}

}  // namespace dragoman::json

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "dragoman/protobuf_layout.hpp"
#include "packed_check.hpp"
#include "packed_fields.hpp"
#include "packed_read.hpp"

/// From a description to nodes and entries; everything the decoder relies on is proved here.
namespace dragoman::protobuf {
namespace {

using packed::compile_divisor;
using packed::kFirstIntegerBit;
using packed::Place;

constexpr std::int64_t kMostRows = 65536;
constexpr std::int64_t kMostPlaces = 1024;
constexpr std::int64_t kMostNumber = (std::int64_t{1} << 29) - 1;

std::string quoted(std::string_view text) {
  return "'" + std::string(text) + "'";
}

Type compile_type(const std::string& type, const Place& place) {
  constexpr std::string_view kNames[] = {"double", "float",  "int32",   "int64",   "uint32",   "uint64",
                                         "sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64",
                                         "bool",   "enum",   "string",  "bytes",   "decimal"};
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (type == kNames[i]) {
      return static_cast<Type>(i);
    }
  }
  place.fail("type " + quoted(type), "a scalar type of protobuf, or decimal");
}

bool is_float(Type type) noexcept {
  return type == Type::f64 || type == Type::f32;
}
bool is_text(Type type) noexcept {
  return type == Type::text || type == Type::bytes;
}

std::uint32_t wire_of(Type type) noexcept {
  switch (type) {
    case Type::f64:
    case Type::fixed64:
    case Type::sfixed64:
      return 1;
    case Type::text:
    case Type::bytes:
    case Type::decimal:
      return 2;
    case Type::f32:
    case Type::fixed32:
    case Type::sfixed32:
      return 5;
    default:
      return 0;
  }
}

std::uint32_t tag_of(std::int64_t number, std::uint32_t wire, const Place& place) {
  if (number < 1 || number > kMostNumber) {
    place.fail("number " + std::to_string(number), "1 to 536870911");
  }
  return static_cast<std::uint32_t>(number) << 3 | wire;
}

std::string named(std::string_view what, std::int64_t number) {
  return std::string(what) + " " + std::to_string(number);
}

bool has_records(const std::vector<MemberSpec>& members) {
  return std::any_of(members.begin(), members.end(), [](const MemberSpec& member) {
    return member.what == "records" || has_records(member.members);
  });
}

/// Where a message stands, which decides what it may hold.
struct Where {
  bool in_record = false;
  bool conditioned = false;
  std::size_t depth = 0;
};

class Compiler {
 public:
  Compiler(const StreamSpec& spec, Layout& layout) : spec_(spec), layout_(layout) {}

  void run() {
    const Place place("stream " + quoted(spec_.name));
    layout_.name = spec_.name;
    layout_.merge = spec_.merge;
    layout_.merge_shapes = spec_.merge_shapes;
    layout_.blank = packed::empty_record();
    layout_.root_is_record = !has_records(spec_.members);
    if (spec_.max_records < 1 || spec_.max_records > 65536) {
      place.fail("max_records " + std::to_string(spec_.max_records), "1 to 65536");
    }
    layout_.max_records = static_cast<std::size_t>(spec_.max_records);
    if (spec_.shape && !layout_.root_is_record) {
      place.fail("a shape and ProtoRecords",
                 "one of the two: records have shapes, not the message around them");
    }
    layout_.root_shape = shape_of(spec_.shape, place);
    (void)message(spec_.members, {layout_.root_is_record, false, 0}, place);
    if (spec_.control_when) {
      layout_.nodes[0].condition = condition(*spec_.control_when, place.in("control_when"));
    }
    if (layout_.shapes.empty()) {
      place.fail("no shape", "a shape for the records, at the message or at its variants");
    }
    close_keys(place);
  }

 private:
  std::int16_t shape_of(const std::optional<ShapeSpec>& spec, const Place& outer) {
    if (!spec) {
      return -1;
    }
    const Place place = outer.in("shape", spec->name);
    Shape shape{spec->name, packed::compile_kind(spec->kind, place), packed::compile_mode(spec->mode, place),
                packed::compile_flags(spec->flags, place)};
    for (std::size_t i = 0; i < layout_.shapes.size(); ++i) {
      const Shape& other = layout_.shapes[i];
      if (other.name == shape.name) {
        if (other.kind != shape.kind || other.mode != shape.mode || other.flags != shape.flags) {
          place.fail("two shapes of one name", "one, or two names");
        }
        return static_cast<std::int16_t>(i);
      }
    }
    if (layout_.shapes.size() >= 256) {
      place.fail("more than 256 shapes", "at most as many");
    }
    layout_.shapes.push_back(std::move(shape));
    return static_cast<std::int16_t>(layout_.shapes.size() - 1);
  }

  Condition condition(const OnlySpec& spec, const Place& place) {
    Condition made;
    made.present = true;
    made.type = compile_type(spec.type, place);
    made.tag = tag_of(spec.number, wire_of(made.type), place);
    if (is_float(made.type) || made.type == Type::decimal) {
      place.fail("type " + quoted(spec.type),
                 "an integer, enum, bool, string or bytes: floats are not compared");
    }
    if (spec.values.empty()) {
      place.fail("no values", "one or more");
    }
    for (const auto& value : spec.values) {
      if (const auto* const text = std::get_if<std::string>(&value); text != nullptr) {
        if (!is_text(made.type)) {
          place.fail("value " + quoted(*text), "an integer, as the field is one");
        }
        made.by_default = made.by_default || text->empty();
        made.texts.push_back(*text);
      } else {
        const std::int64_t number = std::get<std::int64_t>(value);
        if (is_text(made.type)) {
          place.fail("value " + std::to_string(number), "a text, as the field is one");
        }
        made.by_default = made.by_default || number == 0;
        made.integers.push_back(number);
      }
    }
    return made;
  }

  /// Spell the field that makes the message count as it stands on the wire, where it is short and one.
  static void spell(Node& node) {
    Condition& condition = node.condition;
    if (condition.texts.size() != 1 || condition.tag >= 128 || node.direct[condition.tag] != 0 ||
        condition.texts[0].size() > 6) {
      return;
    }
    const std::string& text = condition.texts[0];
    std::array<std::uint8_t, 8> wire{static_cast<std::uint8_t>(condition.tag),
                                     static_cast<std::uint8_t>(text.size())};
    std::copy(text.begin(), text.end(), wire.begin() + 2);
    condition.wire = std::bit_cast<std::uint64_t>(wire);
    condition.wire_size = static_cast<std::uint8_t>(2 + text.size());
    condition.wire_mask = ~std::uint64_t{0} >> (64 - 8 * condition.wire_size);
  }

  void add(std::uint16_t at, Entry entry, const Place& place) {
    Node& node = layout_.nodes[at];
    for (const Entry& other : node.entries) {
      if (other.act != Do::skip && other.tag == entry.tag) {
        place.fail("the field described twice", "one description of each field of a message");
      }
    }
    if (node.entries.size() >= 255) {
      place.fail("more than 254 fields", "at most as many in one message");
    }
    const auto index = static_cast<std::uint8_t>(node.entries.size());
    if (entry.tag < node.direct.size()) {
      node.direct[entry.tag] = index;
    } else {
      node.others.emplace_back(entry.tag, index);
    }
    node.entries.push_back(entry);
  }

  std::uint16_t new_node(const Place& place) {
    if (layout_.nodes.size() >= 1024) {
      place.fail("more than 1024 messages", "at most as many in one stream");
    }
    layout_.nodes.emplace_back();
    layout_.nodes.back().entries.emplace_back();  // the one that skips
    return static_cast<std::uint16_t>(layout_.nodes.size() - 1);
  }

  std::uint16_t message(const std::vector<MemberSpec>& members, Where where, const Place& place) {
    if (where.depth >= kMaxDepth) {
      place.fail("messages nested deeper than 16", "at most as many");
    }
    const std::uint16_t at = new_node(place);
    std::uint32_t seen = 0;
    for (const MemberSpec& member : members) {
      if (member.what == "value") {
        value(member, at, seen, place.in("value", member.to));
      } else if (member.what == "constant") {
        constant(member, at, seen, place.in("constant", member.to));
      } else if (member.what == "sub" || member.what == "records") {
        nested(member, at, where, place.in(named(member.what, member.number)));
      } else {
        const bool depth = member.what == "levels" || member.what == "columns" || member.what == "restart";
        const Place here =
            place.in(member.what == "columns" ? member.what : named(member.what, member.number));
        if (member.what == "control") {
          if (where.conditioned) {
            here.fail("a control field in a message with only_if", "values, constants and messages");
          }
          Entry entry;
          entry.act = Do::control;
          for (const std::uint32_t wire : {0u, 1u, 2u, 5u}) {
            entry.tag = tag_of(member.number, wire, here);
            add(at, entry, here);
          }
          continue;
        }
        if (!depth && member.what != "key") {
          here.fail("what " + quoted(member.what),
                    "value, constant, key, levels, columns, control, restart, sub or records");
        }
        if (!where.in_record) {
          here.fail("it outside of the message that makes a record", "it inside");
        }
        if (where.conditioned) {
          here.fail("it in a message with only_if", "values, constants and messages");
        }
        if (!depth) {
          key(member, at, here);
        } else if (member.what == "levels") {
          levels(member, at, where, here);
        } else if (member.what == "restart") {
          Entry entry;
          entry.act = Do::restart;
          entry.type = Type::boolean;
          entry.tag = tag_of(member.number, 0, here);
          add(at, entry, here);
        } else {
          columns(member, at, here);
        }
      }
    }
    return at;
  }

  void nested(const MemberSpec& member, std::uint16_t at, Where where, const Place& place) {
    Entry entry;
    entry.tag = tag_of(member.number, 2, place);
    const bool records = member.what == "records";
    if (records && (where.in_record || where.conditioned)) {
      place.fail("records within a record or a condition", "records beside one another");
    }
    if (member.shape && !records && !where.in_record) {
      place.fail("a shape outside of the message that makes a record", "it inside");
    }
    if (member.shape && (member.only_if || where.conditioned)) {
      place.fail("a shape under a condition", "none: a condition chooses values");
    }
    entry.act = records ? Do::records : Do::sub;
    entry.shape = shape_of(member.shape, place);
    const Where inside{where.in_record || records, where.conditioned || member.only_if.has_value(),
                       where.depth + 1};
    entry.child = message(member.members, inside, place);
    if (member.only_if) {
      layout_.nodes[entry.child].condition = condition(*member.only_if, place.in("only_if"));
      spell(layout_.nodes[entry.child]);
    }
    const Node& child = layout_.nodes[entry.child];
    if (!records && (entry.shape >= 0 || child.sides != 0 || child.condition.present)) {
      entry.act = Do::sub_telling;
    }
    add(at, entry, place);
  }

  /// What values and columns share: type, divisor, digits.
  static void number(Entry& entry, std::int64_t divisor, const std::optional<std::int64_t>& digits,
                     const Place& place) {
    if (is_text(entry.type)) {
      place.fail("a text", "a number, or type 'decimal' for one written as text");
    }
    entry.divisor = compile_divisor(divisor, place);
    if (digits) {
      if (!is_float(entry.type)) {
        place.fail("digits", "none: only a double or float is rounded; integers use a divisor");
      }
      if (divisor != 1) {
        place.fail("digits and a divisor", "one of the two");
      }
      if (*digits < 0 || *digits > 15) {
        place.fail("digits " + std::to_string(*digits), "0 to 15");
      }
      entry.form = Form::rounded;
      entry.digits = static_cast<std::uint8_t>(*digits);
      (void)packed::make_divisor(static_cast<std::uint64_t>(*digits), 1, entry.divisor);
    } else if (divisor != 1) {
      if (entry.type == Type::decimal) {
        place.fail("a divisor", "none: a decimal has its own point");
      }
      entry.form = Form::divided;
    }
  }

  void value(const MemberSpec& member, std::uint16_t at, std::uint32_t& seen, const Place& place) {
    const int bit = slot(member.to, seen, place);
    Entry entry;
    entry.act = Do::value;
    entry.type = compile_type(member.type, place);
    entry.slot = static_cast<std::uint8_t>(bit);
    entry.bit = 1u << bit;
    entry.tag = tag_of(member.number, wire_of(entry.type), place);
    number(entry, member.divisor, member.digits, place);
    const bool is_time = bit == kFirstIntegerBit || bit == kFirstIntegerBit + 1;
    if (bit >= kFirstIntegerBit && (entry.form != Form::plain || entry.type == Type::decimal)) {
      place.fail("a divisor, digits or a decimal", "none: it is an integer");
    }
    if (is_time) {
      time(entry, member, place);
    } else {
      if (member.unit || member.shift_s != 0) {
        place.fail("a time unit or shift", "none: it is not a time");
      }
      if (bit >= kFirstIntegerBit) {
        if (is_float(entry.type)) {
          place.fail("type " + quoted(member.type), "an integer type");
        }
        entry.form = Form::integer;
      }
    }
    if (member.absent) {
      if (entry.type == Type::decimal) {
        place.fail("absent", "none: an empty text is what is absent");
      }
      entry.has_absent = true;
      entry.absent = *member.absent;
    } else if (entry.type == Type::f64 && entry.form == Form::plain) {
      entry.act = Do::f64;
    } else if (entry.type == Type::int64 && entry.form == Form::plain) {
      entry.act = Do::i64;
    } else if (entry.type == Type::int64 && entry.form == Form::time && entry.multiplier != 0) {
      entry.act = Do::time;
    }
    add(at, entry, place);
    if (member.default_value) {
      if (bit >= kFirstIntegerBit) {
        place.fail("a default", "none: a time or a sequence number is not implied");
      }
      if (member.absent == member.default_value) {
        place.fail("a default that is what absent says", "one of the two");
      }
      preset(at, bit, default_of(*member.default_value, entry));
    }
  }

  static double default_of(std::int64_t raw, const Entry& entry) {
    return entry.form == Form::divided ? packed::divide(raw, entry.divisor) : static_cast<double>(raw);
  }

  static void time(Entry& entry, const MemberSpec& member, const Place& place) {
    constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {
        {"s", 1'000'000'000}, {"ms", 1'000'000}, {"us", 1'000}, {"ns", 1}, {"epoch", 0}};
    const auto* const unit = std::find_if(std::begin(kUnits), std::end(kUnits), [&](const auto& known) {
      return member.unit && known.first == *member.unit;
    });
    if (unit == std::end(kUnits)) {
      place.fail(member.unit ? "unit " + quoted(*member.unit) : "no unit", "unit s, ms, us, ns or epoch");
    }
    if (member.shift_s < -1'000'000'000 || member.shift_s > 1'000'000'000) {
      place.fail("shift_s " + std::to_string(member.shift_s), "at most 1000000000 either way");
    }
    entry.form = Form::time;
    entry.multiplier = unit->second;
    entry.shift_ns = member.shift_s * 1'000'000'000;
  }

  void constant(const MemberSpec& member, std::uint16_t at, std::uint32_t& seen, const Place& place) {
    const int bit = slot(member.to, seen, place);
    if (bit >= kFirstIntegerBit) {
      place.fail("a time or sequence number", "a slot of FIELDS");
    }
    if (!std::isfinite(member.constant)) {
      place.fail("a value that is not finite", "a number");
    }
    preset(at, bit, member.constant);
  }

  static int slot(const std::string& to, std::uint32_t& seen, const Place& place) {
    const int bit = packed::presence_bit(to);
    if (bit < 0) {
      place.fail("slot " + quoted(to),
                 "a name of FIELDS or ts_event, last_trade_time, sequence, prev_sequence");
    }
    if ((seen >> bit & 1u) != 0) {
      place.fail("the slot set twice", "one field of a message for each slot");
    }
    seen |= 1u << bit;
    return bit;
  }

  void preset(std::uint16_t at, int bit, double value) {
    Node& node = layout_.nodes[at];
    node.presets.push_back({static_cast<std::uint8_t>(bit), value + 0.0});
    node.preset_mask |= 1u << bit;
  }

  void key(const MemberSpec& member, std::uint16_t at, const Place& place) {
    Entry entry;
    entry.type = compile_type(member.type, place);
    if (is_float(entry.type) || entry.type == Type::decimal) {
      place.fail("type " + quoted(member.type), "an integer, enum, string or bytes");
    }
    entry.act = is_text(entry.type) ? Do::key_text : Do::key_integer;
    entry.tag = tag_of(member.number, wire_of(entry.type), place);
    if (layout_.keys.size() >= kMaxKeyParts) {
      place.fail("more than 4 parts of a key", "at most as many");
    }
    if (member.shift < 0 || member.shift > 62 || member.mask == 0) {
      place.fail("shift " + std::to_string(member.shift) + " or an empty mask",
                 "0 to 62 bits, and some to keep");
    }
    entry.slot = static_cast<std::uint8_t>(layout_.keys.size());
    layout_.keys.push_back({is_text(entry.type), entry.type == Type::text, entry.type,
                            static_cast<std::uint8_t>(member.shift), member.mask});
    add(at, entry, place);
  }

  void close_keys(const Place& place) {
    const auto texts = std::count_if(layout_.keys.begin(), layout_.keys.end(),
                                     [](const KeyPart& part) { return part.text; });
    if (layout_.keys.empty()) {
      if (layout_.merge) {
        place.fail("merge without a key", "a ProtoKey, by which what came before is found");
      }
      layout_.key_how = KeyHow::none;
    } else if (texts == 0) {
      layout_.key_how = KeyHow::integer;
    } else {
      layout_.key_how = layout_.keys.size() == 1 ? KeyHow::text : KeyHow::composed;
    }
  }

  static void rows(const MemberSpec& member, Entry& entry, const Place& place) {
    if (member.max_rows < 1 || member.max_rows > kMostRows) {
      place.fail("max_rows " + std::to_string(member.max_rows), "1 to 65536");
    }
    if (member.empty != "zero" && member.empty != "none") {
      place.fail("empty " + quoted(member.empty), "zero or none");
    }
    entry.max_rows = static_cast<std::uint32_t>(member.max_rows);
    entry.drop_zero = member.empty == "zero";
    entry.sort = member.sort;
    entry.sides = static_cast<std::uint8_t>((member.bid ? 1 : 0) | (member.ask ? 2 : 0));
    if (entry.sides == 0) {
      place.fail("no side", "bid, ask or both");
    }
  }

  void levels(const MemberSpec& member, std::uint16_t at, Where where, const Place& place) {
    Entry entry;
    entry.act = Do::rows;
    entry.tag = tag_of(member.number, 2, place);
    rows(member, entry, place);
    entry.child = new_node(place);
    entry.plain = true;
    for (const bool ask : {false, true}) {
      if (const auto& side = ask ? member.ask : member.bid; side) {
        const Place here = place.in(ask ? "ask" : "bid");
        const std::size_t first = ask ? 3 : 0;
        const bool placed = member.position.has_value();
        cell(side->price, entry.child, first, where.depth + 1, here.in("price"), placed);
        cell(side->quantity, entry.child, first + 1, where.depth + 1, here.in("quantity"), placed);
        entry.plain =
            entry.plain && !side->orders && side->price.type != "decimal" && side->quantity.type != "decimal";
        if (side->orders) {
          cell(*side->orders, entry.child, first + 2, where.depth + 1, here.in("orders"), placed);
        }
      }
    }
    if (member.position) {
      position(member, entry, where, place.in("position"));
    }
    add(at, entry, place);
    layout_.nodes[at].sides |= entry.sides;
    steps(layout_.nodes[entry.child]);
  }

  /// Where all a row may hold is the plain prices and quantities of its sides, they are put in the order of
  /// their tags.
  static void steps(Node& row) {
    std::vector<Entry> cells(row.entries.begin() + 1, row.entries.end());  // behind the one that skips
    const bool plain = std::all_of(cells.begin(), cells.end(), [](const Entry& entry) {
      return entry.tag < 128 && (entry.act == Do::cell_f64 || entry.act == Do::cell_i64);
    });
    if (!plain) {
      return;
    }
    std::sort(cells.begin(), cells.end(),
              [](const Entry& one, const Entry& other) { return one.tag < other.tag; });
    for (const Entry& cell : cells) {
      Sources& sources = row.sources[cell.slot / 3u];
      (cell.slot % 3 == 0 ? sources.price : sources.quantity) = row.step_count;
      row.steps[row.step_count++] = {static_cast<std::uint8_t>(cell.tag), cell.act == Do::cell_f64};
    }
  }

  static Entry column(const ColumnSpec& spec, std::size_t cell, const Place& place) {
    Entry entry;
    entry.act = Do::cell;
    entry.type = compile_type(spec.type, place);
    entry.slot = static_cast<std::uint8_t>(cell);
    number(entry, spec.divisor, spec.digits, place);
    if ((cell % 3 == 2 || cell == kPositionCell) &&
        (is_float(entry.type) || entry.type == Type::decimal || entry.form != Form::plain)) {
      place.fail("a number of orders or a position with a point", "an integer type without divisor");
    }
    if (spec.path.empty()) {
      place.fail("no number", "a field number or a path of them");
    }
    return entry;
  }

  void position(const MemberSpec& member, Entry& entry, Where where, const Place& place) {
    if (!layout_.merge) {
      place.fail("a position in a stream that does not merge", "merge=True: places keep what they hold");
    }
    if (member.sort || member.max_rows > kMostPlaces) {
      place.fail("max_rows " + std::to_string(member.max_rows) + " or rows to be sorted",
                 "1 to 1024 places in their order");
    }
    cell(*member.position, entry.child, kPositionCell, where.depth + 1, place, true);
    entry.placed = true;
    layout_.places = std::max(layout_.places, entry.max_rows);
  }

  /// @param placed  the row says its place, so that which of its cells came is told
  void cell(const ColumnSpec& spec, std::uint16_t at, std::size_t index, std::size_t depth,
            const Place& place, bool placed = false) {
    Entry entry = column(spec, index, place);
    if (depth + spec.path.size() >= kMaxDepth) {
      place.fail("messages nested deeper than 16", "at most as many");
    }
    for (std::size_t i = 0; i + 1 < spec.path.size(); ++i) {
      const std::uint32_t tag = tag_of(spec.path[i], 2, place);
      std::vector<Entry>& entries = layout_.nodes[at].entries;
      const auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& other) {
        return other.act == Do::cell_sub && other.tag == tag;
      });
      if (found != entries.end()) {
        found->cells |= static_cast<std::uint8_t>(1u << index);
        at = found->child;
        continue;
      }
      Entry step;
      step.act = Do::cell_sub;
      step.cells = static_cast<std::uint8_t>(1u << index);
      step.tag = tag;
      step.child = new_node(place);
      add(at, step, place);
      at = step.child;
    }
    entry.tag = tag_of(spec.path.back(), wire_of(entry.type), place);
    if (entry.form == Form::plain && index % 3 != 2 && !placed) {
      entry.act = entry.type == Type::f64     ? Do::cell_f64
                  : entry.type == Type::int64 ? Do::cell_i64
                                              : Do::cell;
    }
    add(at, entry, place);
  }

  void columns(const MemberSpec& member, std::uint16_t at, const Place& place) {
    Entry common;
    rows(member, common, place);
    const bool ask = common.sides == 2;
    const SideSpec& side = ask ? *member.ask : *member.bid;
    const std::size_t first = ask ? 3 : 0;
    if ((layout_.nodes[at].sides & common.sides) != 0) {
      place.fail("a second description of that side", "one for each side of a message");
    }
    const auto list = [&](const ColumnSpec& spec, std::size_t index, const Place& here) {
      Entry entry = column(spec, index, here);
      if (spec.path.size() != 1) {
        here.fail("a path", "one number: the list stands in the message itself");
      }
      entry.max_rows = common.max_rows;
      entry.drop_zero = common.drop_zero;
      entry.sort = common.sort;
      entry.sides = common.sides;
      const std::uint32_t wire = wire_of(entry.type);
      entry.act = Do::list_item;
      entry.tag = tag_of(spec.path[0], wire, here);
      add(at, entry, here);
      if (wire != 2) {
        entry.act = Do::list;
        entry.tag = tag_of(spec.path[0], 2, here);
        add(at, entry, here);
      }
    };
    list(side.price, first, place.in("price"));
    list(side.quantity, first + 1, place.in("quantity"));
    if (side.orders) {
      list(*side.orders, first + 2, place.in("orders"));
    }
    layout_.nodes[at].sides |= common.sides;
  }

  const StreamSpec& spec_;
  Layout& layout_;
};

}  // namespace

std::vector<std::string> Layout::packet_names() const {
  std::vector<std::string> names;
  names.reserve(shapes.size());
  for (const Shape& shape : shapes) {
    names.push_back(shape.name);
  }
  return names;
}

std::shared_ptr<const Layout> compile(const StreamSpec& spec) {
  auto layout = std::make_shared<Layout>();
  Compiler(spec, *layout).run();
  return layout;
}

}  // namespace dragoman::protobuf

#include "packed_check.hpp"

#include <algorithm>
#include <limits>

#include "packed_fields.hpp"
#include "packed_read.hpp"

namespace dragoman::packed {
namespace {

constexpr std::int64_t kMostBytes = std::int64_t{1} << 24;
constexpr std::int64_t kMostShiftSeconds = 1'000'000'000;

constexpr std::string_view kSlotNames[] = {
#define DRAGOMAN_NAME(name) #name,
    DRAGOMAN_RECORD_FIELDS(DRAGOMAN_NAME)
#undef DRAGOMAN_NAME
};
constexpr std::string_view kIntegerNames[] = {"ts_event", "last_trade_time", "sequence", "prev_sequence"};

std::string quoted(std::string_view text) {
  return "'" + std::string(text) + "'";
}

/// Raw values a wire type can hold, as int64 (a u64 sentinel is given by its bits).
void check_raw(std::int64_t value, Wire wire, std::string_view what, const Place& place) {
  std::int64_t low = std::numeric_limits<std::int64_t>::min();
  std::int64_t high = std::numeric_limits<std::int64_t>::max();
  const std::uint32_t bits = 8 * wire_width(wire);
  switch (wire) {
    case Wire::i8:
    case Wire::i16:
    case Wire::i32:
      low = -(std::int64_t{1} << (bits - 1));
      high = -low - 1;
      break;
    case Wire::u8:
    case Wire::u16:
    case Wire::u32:
      low = 0;
      high = (std::int64_t{1} << bits) - 1;
      break;
    case Wire::f32:
    case Wire::f64:
      low = -kExactMantissa;
      high = kExactMantissa;
      break;
    default:
      return;
  }
  if (value < low || value > high) {
    place.fail(std::string(what) + " " + std::to_string(value), "a raw value from " + std::to_string(low) +
                                                                    " to " + std::to_string(high) +
                                                                    ", which the type can hold");
  }
}

}  // namespace

int presence_bit(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kSlots; ++i) {
    if (kSlotNames[i] == name) {
      return static_cast<int>(i);
    }
  }
  for (std::size_t i = 0; i < std::size(kIntegerNames); ++i) {
    if (kIntegerNames[i] == name) {
      return static_cast<int>(kFirstIntegerBit + i);
    }
  }
  return -1;
}

Record empty_record() noexcept {
  Record record{};
  record.ts_event = record.last_trade_time = record.sequence = record.prev_sequence = kAbsentInt;
  record.instrument = kUnbound;
  std::fill(std::begin(record.values), std::end(record.values), kNan);
  return record;
}

Wire compile_wire(const std::string& type, std::uint16_t& width, bool digits_too, const Place& place) {
  constexpr std::string_view kNames[] = {"i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64", "f32", "f64"};
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (type == kNames[i]) {
      const auto wire = static_cast<Wire>(i);
      width = static_cast<std::uint16_t>(wire_width(wire));
      return wire;
    }
  }
  if (digits_too && type.starts_with("digits[") && type.ends_with("]")) {
    const std::string number = type.substr(7, type.size() - 8);
    std::uint64_t value = 0;
    if (!number.empty() && number.size() <= 3 &&
        number.find_first_not_of("0123456789") == std::string::npos &&
        load_digits(reinterpret_cast<const std::uint8_t*>(number.data()), number.size(), value) &&
        value >= 1 && value <= 64) {
      width = static_cast<std::uint16_t>(value);
      return Wire::digits;
    }
    place.fail("type " + quoted(type), "digits[n] with n from 1 to 64");
  }
  place.fail("type " + quoted(type), digits_too ? "i8 u8 i16 u16 i32 u32 i64 u64 or digits[n]"
                                                : "i8 u8 i16 u16 i32 u32 i64 u64 f32 f64");
}

Wire compile_wire(const std::string& type, const Place& place) {
  std::uint16_t width = 0;
  return compile_wire(type, width, false, place);
}

std::uint32_t compile_offset(std::int64_t offset, std::uint64_t width, std::uint64_t size,
                             const Place& place) {
  if (offset < 0 || offset > kMostBytes || static_cast<std::uint64_t>(offset) + width > size) {
    place.fail("offset " + std::to_string(offset) + " and " + std::to_string(width) + " bytes",
               "them inside the " + std::to_string(size) + " bytes that are surely there");
  }
  return static_cast<std::uint32_t>(offset);
}

Load compile_part(const PartSpec& part, std::uint64_t size, bool digits_too, const Place& place) {
  Load load;
  load.wire = compile_wire(part.type, load.width, digits_too, place);
  if (is_float(load.wire)) {
    place.fail("type " + quoted(part.type), "an integer type");
  }
  load.offset = compile_offset(part.offset, load.width, size, place);
  if (part.shift < 0 || part.shift > 63) {
    place.fail("shift " + std::to_string(part.shift), "0 to 63 bits");
  }
  if (part.mask == 0) {
    place.fail("mask 0", "a mask that lets something through");
  }
  load.shift = static_cast<std::uint8_t>(part.shift);
  load.mask = part.mask;
  return load;
}

Divisor compile_divisor(std::int64_t divisor, const Place& place) {
  Divisor compiled;
  if (divisor <= 0 || !make_divisor(0, static_cast<std::uint64_t>(divisor), compiled)) {
    place.fail("divisor " + std::to_string(divisor),
               "a positive integer below 2^62 that float64 holds exactly");
  }
  return compiled;
}

std::uint64_t compile_condition(std::int64_t value, const Load& part, const Place& place) {
  // Values are compared after mask and shift, so a value with bits outside both could never match.
  const std::uint32_t bits = 8 * wire_width(part.wire);
  const bool is_signed =
      part.wire == Wire::i8 || part.wire == Wire::i16 || part.wire == Wire::i32 || part.wire == Wire::i64;
  const std::uint64_t reach = is_signed || bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
  const auto raw = static_cast<std::uint64_t>(value);
  if ((raw & ~((reach & part.mask) << part.shift)) != 0) {
    place.fail("value " + std::to_string(value), "a value that its part can have");
  }
  return raw;
}

Kind compile_kind(const std::string& kind, const Place& place) {
  constexpr std::string_view kNames[] = {"quote", "trade", "depth_snapshot", "depth_delta", "status"};
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (kind == kNames[i]) {
      return static_cast<Kind>(i);
    }
  }
  place.fail("kind " + quoted(kind), "quote, trade, depth_snapshot, depth_delta or status");
}

Mode compile_mode(const std::string& mode, const Place& place) {
  constexpr std::string_view kNames[] = {"none", "ltp", "quote", "full"};
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (mode == kNames[i]) {
      return static_cast<Mode>(i);
    }
  }
  place.fail("mode " + quoted(mode), "none, ltp, quote or full");
}

std::uint16_t compile_flags(const std::vector<std::string>& flags, const Place& place) {
  std::uint16_t compiled = 0;
  for (const std::string& flag : flags) {
    if (flag != "index") {
      place.fail("flag " + quoted(flag), "index");
    }
    compiled |= kFlagIndex;
  }
  return compiled;
}

CompiledField compile_field(const FieldSpec& field, const PacketContext& context, std::uint32_t& seen,
                            const Place& stream) {
  const Place place = stream.in("field", field.to);
  const int bit = presence_bit(field.to);
  if (bit < 0) {
    place.fail("slot " + quoted(field.to),
               "a name of FIELDS or ts_event, last_trade_time, sequence, prev_sequence");
  }
  if ((seen >> bit) & 1u) {
    place.fail("the slot set twice", "one field for each slot");
  }
  seen |= 1u << bit;

  CompiledField compiled{};
  compiled.wire = compile_wire(field.type, place);
  WideOp& op = compiled.op;
  op.slot = static_cast<std::uint8_t>(bit);
  const std::uint32_t width = wire_width(compiled.wire);
  op.offset = compile_offset(field.offset, width, context.size, place);
  const bool floating = is_float(compiled.wire);
  const bool own = field.divisor != 1;
  const bool is_time = bit == kFirstIntegerBit || bit == kFirstIntegerBit + 1;
  if (bit >= kFirstIntegerBit) {
    if (floating) {
      place.fail("type " + quoted(field.type), "an integer type");
    }
    if (field.scaled || own || field.digits) {
      place.fail("a scale or digits", "none: it is an integer");
    }
  }
  if (is_time) {
    constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {
        {"s", 1'000'000'000}, {"ms", 1'000'000}, {"us", 1'000}, {"ns", 1}};
    const auto* const unit = std::find_if(std::begin(kUnits), std::end(kUnits), [&](const auto& u) {
      return field.unit && u.first == *field.unit;
    });
    if (unit == std::end(kUnits)) {
      place.fail(field.unit ? "unit " + quoted(*field.unit) : "no unit", "unit s, ms, us or ns");
    }
    if (field.shift_s < -kMostShiftSeconds || field.shift_s > kMostShiftSeconds) {
      place.fail("shift_s " + std::to_string(field.shift_s), "at most 1000000000 either way");
    }
    op.multiplier = unit->second;
    op.shift_ns = field.shift_s * 1'000'000'000;
  } else if (field.unit || field.shift_s != 0) {
    place.fail("a time unit or shift", "none: it is not a time");
  }
  if (field.scaled && own) {
    place.fail("scaled and a divisor of its own", "one of the two");
  }
  if (field.scaled && context.fixed && context.fixed->exact == 1) {
    place.fail("scaled, and the layout has no scale", "a Scale with a divisor above 1, or scaled=False");
  }
  const Divisor divisor = compile_divisor(field.divisor, place);
  if (field.digits) {
    if (!floating) {
      place.fail("digits on type " + quoted(field.type), "f32 or f64; integers use a divisor");
    }
    if (field.scaled || own) {
      place.fail("digits and a divisor", "one of the two");
    }
    if (*field.digits < 0 || *field.digits > 15) {
      place.fail("digits " + std::to_string(*field.digits), "0 to 15");
    }
  }
  if (field.absent) {
    check_raw(*field.absent, compiled.wire, "absent", place);
    op.has_absent = true;
    op.absent = *field.absent;
  }
  if (field.unchanged) {
    check_raw(*field.unchanged, compiled.wire, "unchanged", place);
    if (!context.may_keep) {
      place.fail("unchanged in a layout that is not merged", "merge=True");
    }
    op.unchanged = *field.unchanged;
    op.has_unchanged = !context.vector;  // a vector's sentinels are read before its fields are
  }
  compiled.checked = op.has_absent || op.has_unchanged;

  Form form = Form::plain;
  if (is_time) {
    form = Form::time;
  } else if (bit >= kFirstIntegerBit) {
    form = Form::integer;
  } else if (field.digits) {
    form = Form::rounded;
    op.digits = static_cast<std::uint8_t>(*field.digits);
    (void)make_divisor(static_cast<std::uint64_t>(*field.digits), 1, op.divisor);
  } else if (own) {
    form = Form::own;
    op.divisor = divisor;
  } else if (field.scaled) {
    form = Form::row;
  }
  compiled.form = static_cast<std::uint8_t>(form);
  return compiled;
}

void compile_scale(const ScaleSpec& scale, bool topic_record, std::uint64_t size, bool big, Packet& packet,
                   const Place& stream) {
  const Place place = stream.in("scale");
  if (scale.how == "fixed") {
    packet.scale_how = ScaleHow::fixed;
    packet.scale = compile_divisor(scale.divisor, place);
  } else if (scale.how == "topic") {
    if (!topic_record) {
      place.fail("how 'topic'", "a define or refer record");
    }
    packet.scale_how = ScaleHow::topic;
  } else if (topic_record) {
    place.fail("how " + quoted(scale.how), "fixed or topic, for a define or refer record");
  } else if (scale.how == "by_part") {
    if (!scale.part) {
      place.fail("no part", "the part whose low 8 bits choose the divisor");
    }
    packet.scale_how = ScaleHow::by_part;
    packet.scale_part = compile_part(*scale.part, size, false, place);
    const Load& part = packet.scale_part;
    packet.quick_scale = part.shift == 0 && (part.mask & 0xFF) == 0xFF;
    packet.scale_byte = part.offset + (big ? part.width - 1u : 0u);
    packet.scale_table.assign(256, compile_divisor(scale.divisor, place));
    for (const auto& [value, divisor] : scale.table) {
      if (value < 0 || value > 255) {
        place.fail("table entry for " + std::to_string(value), "values from 0 to 255");
      }
      packet.scale_table[static_cast<std::size_t>(value)] = compile_divisor(divisor, place);
    }
  } else if (scale.how == "from_fields") {
    if (!scale.precision && !scale.multiplier) {
      place.fail("neither precision nor multiplier", "one of them or both");
    }
    packet.scale_how = ScaleHow::from_fields;
    if (scale.precision) {
      packet.precision = compile_part(*scale.precision, size, false, place.in("precision"));
    }
    if (scale.multiplier) {
      packet.multiplier = compile_part(*scale.multiplier, size, false, place.in("multiplier"));
    }
  } else {
    place.fail("how " + quoted(scale.how), "fixed, by_part, from_fields or topic");
  }
}

}  // namespace dragoman::packed

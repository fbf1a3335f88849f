#include <algorithm>

#include "packed_check.hpp"
#include "packed_fields.hpp"
#include "packed_read.hpp"

namespace dragoman::packed {
namespace {

void mark_sentinels(Schema& schema, const LevelsSpec& levels, std::uint32_t width) {
  const std::int64_t rows = std::get<std::int64_t>(levels.rows);
  const auto mark = [&](const ColumnSpec& column) {
    const std::int64_t stride = column.stride != 0 ? column.stride : levels.stride;
    for (std::int64_t i = 0; i < rows; ++i) {
      schema.sentinels[static_cast<std::size_t>((column.offset + i * stride) / width)] = {true,
                                                                                          *levels.unchanged};
    }
  };
  mark(levels.price);
  mark(levels.quantity);
  if (levels.orders) {
    mark(*levels.orders);
  }
}

}  // namespace

std::uint16_t depth_flags(const Depth& depth, Kind kind) {
  const bool replaces = kind != Kind::depth_delta && !depth.clears;
  return static_cast<std::uint16_t>(kFlagDepth | (replaces ? kFlagSnapshot : 0));
}

VectorOp compile_vector(const VectorSpec& spec, bool define, const Place& place) {
  VectorOp vector;
  vector.count = compile_part(spec.count, kHeadBytes, false, place.in("count"));
  vector.wire = compile_wire(spec.type, place);
  if (vector.wire == Wire::f32 || vector.wire == Wire::f64) {
    place.fail("type '" + spec.type + "'", "an integer type");
  }
  vector.width = wire_width(vector.wire);
  vector.has_unchanged = spec.unchanged.has_value();
  vector.unchanged = spec.unchanged.value_or(0);
  vector.after_name = spec.after_name;
  if (vector.after_name && !define) {
    place.fail("after_name in a record without a name", "after_name only in define");
  }
  return vector;
}

DefineOp compile_define(const DefineSpec& spec, const Load& topic, const Place& place) {
  DefineOp define;
  define.name_length = compile_part(spec.name_length, kHeadBytes, false, place.in("name_length"));
  define.name_offset = compile_offset(spec.name_offset, 0, kHeadBytes, place.in("name_offset"));
  define.vector = compile_vector(spec.vector, true, place.in("vector"));
  define.head = std::max({topic.end(), define.name_length.end(), define.name_offset});
  if (!define.vector.after_name) {
    define.head = std::max(define.head, define.vector.count.end());
  }
  define.tail_size = compile_offset(spec.tail_size, 0, kHeadBytes, place.in("tail_size"));
  define.tail_texts = compile_offset(spec.tail_texts, 0, 64, place.in("tail_texts"));
  if (spec.precision) {
    define.precision = compile_part(*spec.precision, define.tail_size, false, place.in("precision"));
  }
  if (spec.multiplier) {
    define.multiplier = compile_part(*spec.multiplier, define.tail_size, false, place.in("multiplier"));
  }
  return define;
}

Schema compile_schema(const SchemaSpec& spec, std::uint32_t width, bool big, const Place& place) {
  Schema schema;
  schema.name = spec.name;
  schema.prefix = spec.prefix;
  schema.sentinels.resize(kMaxPositions);
  schema.prototype = empty_record();
  Record& prototype = schema.prototype;
  prototype.kind = compile_kind(spec.kind, place);
  prototype.mode = compile_mode(spec.mode, place);
  prototype.flags = compile_flags(spec.flags, place);

  PacketContext context;
  context.big = big;
  context.size = kMaxPositions * width;
  context.vector = true;
  context.may_keep = true;
  std::uint32_t seen = 0;
  for (const FieldSpec& field : spec.fields) {
    const CompiledField compiled = compile_field(field, context, seen, place);
    const Place here = place.in("field", field.to);
    if (wire_width(compiled.wire) != width || compiled.op.offset % width != 0) {
      here.fail("type '" + field.type + "' at offset " + std::to_string(field.offset),
                "a type of " + std::to_string(width) + " bytes at a multiple of them");
    }
    const std::uint32_t position = compiled.op.offset / width;
    if (field.unchanged) {
      schema.sentinels[position] = {true, *field.unchanged};
    }
    // The checked loops, one field at a time: an update may bring any subset of the positions.
    const GroupFn run = group_function(compiled.wire, static_cast<Form>(compiled.form), true, big);
    schema.values.push_back({run, compiled.op, position});
    schema.positions = std::max(schema.positions, position + 1);
  }
  schema.depth = compile_depth(spec.levels, prototype.kind, context, seen, place);
  for (const LevelTable& table : schema.depth.tables) {
    for (const ColumnOp* column : {&table.price, &table.quantity, &table.orders}) {
      if (column == &table.orders && !table.has_orders) {
        continue;
      }
      if (wire_width(column->wire) != width) {
        place.fail("a level column of another width",
                   "types of " + std::to_string(width) + " bytes, as the values have");
      }
      schema.positions =
          std::max(schema.positions, (column->offset + (table.rows - 1) * column->stride) / width + 1);
    }
  }
  for (const LevelsSpec& levels : spec.levels) {
    if (levels.unchanged) {
      mark_sentinels(schema, levels, width);
    }
  }
  if (schema.positions == 0) {
    place.fail("no fields and no levels", "some");
  }
  if (!schema.depth.tables.empty()) {
    prototype.flags |= depth_flags(schema.depth, prototype.kind);
  }
  return schema;
}

}  // namespace dragoman::packed

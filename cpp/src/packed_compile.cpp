#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "packed_check.hpp"
#include "packed_fields.hpp"
#include "packed_read.hpp"

namespace dragoman::packed {
namespace {

constexpr std::size_t kMostLayouts = 1024;
constexpr std::uint64_t kHeadBytes = 4096;  ///< fixed parts of frames and topic records lie in here

/// Sort fields into groups of one loop each, in the packet's own arrays.
void compile_groups(const std::vector<FieldSpec>& fields, const PacketContext& context, Packet& packet,
                    std::uint32_t& seen, const Place& place) {
  std::vector<CompiledField> compiled;
  for (const FieldSpec& field : fields) {
    compiled.push_back(compile_field(field, context, seen, place));
  }
  const auto order = [](const CompiledField& f) { return std::tuple(f.form, f.checked, f.wire); };
  std::stable_sort(compiled.begin(), compiled.end(),
                   [&](const CompiledField& a, const CompiledField& b) { return order(a) < order(b); });
  std::size_t narrow = 0;
  std::size_t wide = 0;
  packet.sure_fields = true;
  for (std::size_t i = 0; i < compiled.size(); ++i) {
    const CompiledField& field = compiled[i];
    const auto form = static_cast<Form>(field.form);
    const bool may_overflow = (form == Form::time || form == Form::integer) && wire_width(field.wire) == 8;
    packet.sure_fields &= !field.checked && !is_float(field.wire) && !may_overflow;
    const bool is_wide = reads_wide(form, field.checked);
    if (i == 0 || order(compiled[i - 1]) != order(field)) {
      Group& group = packet.groups[packet.group_count++];
      group.run = group_function(field.wire, form, field.checked, context.big);
      group.ops = is_wide ? static_cast<const void*>(&packet.wide[wide]) : &packet.ops[narrow];
      group.count = 0;
    }
    ++packet.groups[packet.group_count - 1].count;
    if (is_wide) {
      packet.wide[wide++] = field.op;
    } else {
      packet.ops[narrow++] = {field.op.offset, field.op.slot};
    }
  }
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

/// Compiles one stream; its members are the steps, in order.
class Compiler {
 public:
  explicit Compiler(const StreamSpec& spec)
      : spec_(spec), place_("stream '" + spec.name + "'"), layout_(std::make_shared<Layout>()) {}

  std::shared_ptr<const Layout> run() {
    compile_stream();
    compile_framing();
    compile_schemas();
    layout_->packets.reserve(spec_.layouts.size());  // groups point into packets, so they must not move
    for (const PacketSpec& packet : spec_.layouts) {
      compile_packet(packet);
    }
    check_topics();
    compile_selector();
    return layout_;
  }

 private:
  void compile_stream() {
    Layout& out = *layout_;
    if (spec_.name.empty()) {
      place_.fail("an empty name", "a name");
    }
    out.name = spec_.name;
    if (spec_.byte_order != "big" && spec_.byte_order != "little") {
      place_.fail("byte_order '" + spec_.byte_order + "'", "big or little");
    }
    out.big = spec_.byte_order == "big";
    if (spec_.layouts.empty() || spec_.layouts.size() > kMostLayouts) {
      place_.fail(std::to_string(spec_.layouts.size()) + " layouts", "1 to " + std::to_string(kMostLayouts));
    }
    if (spec_.data_when) {
      const Place place = place_.in("data_when");
      out.has_data_when = true;
      out.data_when = compile_part(spec_.data_when->first, kHeadBytes, false, place);
      if (spec_.data_when->second.empty()) {
        place.fail("no values", "the values that make a frame data");
      }
      for (const std::int64_t value : spec_.data_when->second) {
        out.data_values.push_back(compile_condition(value, out.data_when, place));
      }
    }
    if (spec_.message_number) {
      out.counts_messages = true;
      out.message_number =
          compile_part(*spec_.message_number, kHeadBytes, false, place_.in("message_number"));
    }
    if (spec_.select.how == "code") {
      const Place place = place_.in("select");
      if (!spec_.select.code) {
        place.fail("no code part", "the part that holds the code");
      }
      out.select.by_length = false;
      out.select.code = compile_part(*spec_.select.code, kHeadBytes, false, place);
    } else if (spec_.select.how != "length") {
      place_.in("select").fail("how '" + spec_.select.how + "'", "length or code");
    }
    out.select.direct.fill(-1);
  }

  void compile_framing() {
    const Place place = place_.in("framing");
    const FramingSpec& spec = spec_.framing;
    Framing& out = layout_->framing;
    out.header = compile_offset(spec.header, 0, kHeadBytes, place.in("header"));
    out.min_frame = compile_offset(spec.min_frame, 0, kHeadBytes, place.in("min_frame"));
    if (spec.how == "single") {
      out.how = FramingHow::single;
      if (out.header != 0) {
        place.fail("header " + std::to_string(out.header), "0: a single packet starts where the frame does");
      }
    } else if (spec.how == "counted") {
      out.how = FramingHow::counted;
      if (!spec.count) {
        place.fail("no count", "the part that holds the number of packets");
      }
      out.count = compile_part(*spec.count, out.header, false, place.in("count"));
      out.self_delimiting = !spec.length;
      if (spec.length) {
        out.length = compile_part({*spec.length, 0, 0, ~std::uint64_t{0}}, 8, false, place.in("length"));
      }
    } else if (spec.how == "back_to_back") {
      out.how = FramingHow::back_to_back;
      out.self_delimiting = !spec.length_at;
      if (spec.length_at) {
        out.has_length_at = true;
        out.length_at = compile_part(*spec.length_at, kHeadBytes, false, place.in("length_at"));
      }
    } else {
      place.fail("how '" + spec.how + "'", "single, counted or back_to_back");
    }
    if (out.self_delimiting && layout_->select.by_length) {
      place.fail("packets without a length, selected by length", "a length, or selection by code");
    }
  }

  void compile_schemas() {
    Layout& out = *layout_;
    for (const PacketSpec& packet : spec_.layouts) {
      const VectorSpec* const vector = packet.define                          ? &packet.define->vector
                                       : packet.refer && packet.refer->vector ? &*packet.refer->vector
                                                                              : nullptr;
      if (vector == nullptr) {
        continue;
      }
      if (value_type_.empty()) {
        value_type_ = vector->type;
      } else if (value_type_ != vector->type) {
        place_.in("layout", packet.name)
            .fail("vector type '" + vector->type + "'", "'" + value_type_ + "', as in the others");
      }
    }
    if (!value_type_.empty()) {
      std::uint16_t width = 0;
      (void)compile_wire(value_type_, width, false, place_.in("vector"));
      out.value_width = width;
    }
    std::set<std::string> names;
    std::set<std::string> prefixes;
    for (const SchemaSpec& spec : spec_.schemas) {
      const Place place = place_.in("schema", spec.name);
      if (value_type_.empty()) {
        place.fail("a schema in a stream without topic values", "a define layout");
      }
      if (spec.name.empty() || !names.insert(spec.name).second) {
        place.fail("the name", "one that no other schema has");
      }
      if (spec.prefix.empty() || !prefixes.insert(spec.prefix).second) {
        place.fail("prefix '" + spec.prefix + "'", "one that no other schema has");
      }
      out.schemas.push_back(compile_schema(spec, place));
    }
    std::stable_sort(out.schemas.begin(), out.schemas.end(),
                     [](const Schema& a, const Schema& b) { return a.prefix.size() > b.prefix.size(); });
  }

  Schema compile_schema(const SchemaSpec& spec, const Place& place) {
    const std::uint32_t width = layout_->value_width;
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
    context.big = layout_->big;
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
      const GroupFn run = group_function(compiled.wire, static_cast<Form>(compiled.form), true, layout_->big);
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

  static void mark_sentinels(Schema& schema, const LevelsSpec& levels, std::uint32_t width) {
    const std::int64_t rows = std::get<std::int64_t>(levels.rows);
    const auto mark = [&](const ColumnSpec& column) {
      const std::int64_t stride = column.stride != 0 ? column.stride : levels.stride;
      for (std::int64_t i = 0; i < rows; ++i) {
        schema.sentinels[static_cast<std::size_t>((column.offset + i * stride) / width)] = {
            true, *levels.unchanged};
      }
    };
    mark(levels.price);
    mark(levels.quantity);
    if (levels.orders) {
      mark(*levels.orders);
    }
  }

  static std::uint16_t depth_flags(const Depth& depth, Kind kind) {
    const bool replaces = kind != Kind::depth_delta && !depth.clears;
    return static_cast<std::uint16_t>(kFlagDepth | (replaces ? kFlagSnapshot : 0));
  }

  void compile_packet(const PacketSpec& spec) {
    const Place place = place_.in("layout", spec.name);
    if (spec.name.empty() || !names_.insert(spec.name).second) {
      place.fail("the name", "one that no other layout has");
    }
    Packet& packet = layout_->packets.emplace_back();
    packet.name = spec.name;
    packet.control = spec.control;
    packet.grows = spec.grows;
    packet.merge = spec.merge;
    packet.prototype = empty_record();
    packet.prototype.layout = static_cast<std::uint32_t>(layout_->packets.size() - 1);
    packet.prototype.kind = compile_kind(spec.kind, place);
    packet.prototype.mode = compile_mode(spec.mode, place);
    packet.prototype.flags = compile_flags(spec.flags, place);
    if (spec.define && spec.refer) {
      place.fail("define and refer", "one of the two");
    }
    packet.shape = spec.define                      ? Shape::define
                   : !spec.refer                    ? Shape::plain
                   : spec.refer->vector.has_value() ? Shape::refer_vector
                                                    : Shape::refer_fields;
    const bool topic = packet.shape != Shape::plain;
    const bool by_vector = packet.shape == Shape::define || packet.shape == Shape::refer_vector;
    compile_size(spec, packet, by_vector, place);
    compile_when(spec, packet, place);
    if (packet.control) {
      if (topic || !spec.fields.empty() || !spec.levels.empty()) {
        place.fail("fields, levels or topics in a control layout", "none: its bytes go to the feed");
      }
      return;
    }
    compile_scale(spec.scale, topic, packet.size, layout_->big, packet, place);
    if (topic) {
      compile_topic(spec, packet, place);
    } else {
      compile_key(spec, packet, place);
    }
    if (by_vector) {
      if (!spec.fields.empty() || !spec.levels.empty()) {
        place.fail("fields or levels beside a vector", "them in the schemas");
      }
      return;
    }
    PacketContext context;
    context.big = layout_->big;
    context.size = packet.size;
    context.open_ended = packet.grows;
    context.may_keep = packet.merge;
    if (packet.scale_how == ScaleHow::fixed) {
      context.fixed = packet.scale;
    }
    std::uint32_t seen = 0;
    compile_groups(spec.fields, context, packet, seen, place);
    packet.depth = compile_depth(spec.levels, packet.prototype.kind, context, seen, place);
    if (seen == 0 && packet.depth.tables.empty() && packet.prototype.kind != Kind::status) {
      place.fail("no fields and no levels", "some, or control=True");
    }
    if (!packet.depth.tables.empty()) {
      packet.prototype.flags |= depth_flags(packet.depth, packet.prototype.kind);
    }
    packet.mask = seen | packet.depth.fill;
    packet.prototype.present = packet.prototype.changed = packet.mask;
    note_bounds(packet.size, packet.depth);
    mark_simple(packet);
  }

  static void mark_simple(Packet& packet) {
    const bool scale_is_sure = packet.scale_how == ScaleHow::fixed || packet.quick_scale;
    const bool key_is_sure =
        packet.has_key && std::none_of(packet.key_parts.begin(), packet.key_parts.end(),
                                       [](const Load& part) { return part.wire == Wire::digits; });
    while (packet.empty_from < kSlots && (packet.mask >> packet.empty_from & 1u) != 0) {
      ++packet.empty_from;
    }
    packet.simple = packet.shape == Shape::plain && !packet.merge && scale_is_sure && key_is_sure &&
                    packet.depth.fixed && !packet.depth.clears;
    const auto is_unsigned = [](Wire wire) {
      return wire == Wire::u8 || wire == Wire::u16 || wire == Wire::u32;
    };
    packet.sure =
        packet.simple && packet.sure_fields &&
        std::all_of(packet.depth.tables.begin(), packet.depth.tables.end(), [&](const LevelTable& table) {
          return !table.has_flag && !is_float(table.price.wire) && !is_float(table.quantity.wire) &&
                 (!table.has_orders || is_unsigned(table.orders.wire));
        });
  }

  void compile_size(const PacketSpec& spec, Packet& packet, bool by_vector, const Place& place) {
    const bool by_length = layout_->select.by_length;
    const bool self_delimiting = layout_->framing.self_delimiting;
    if (by_vector) {
      if (spec.size != 0 || spec.grows || by_length) {
        place.fail("a size, grows or selection by length for a record with a vector",
                   "size 0 and selection by code");
      }
      return;
    }
    const bool may_be_unsized = spec.control && !by_length && !self_delimiting;
    if (spec.size < (may_be_unsized ? 0 : 1) || spec.size > (std::int64_t{1} << 24)) {
      place.fail("size " + std::to_string(spec.size), "a positive number of bytes");
    }
    packet.size = static_cast<std::uint32_t>(spec.size);
    if (spec.grows && self_delimiting) {
      place.fail("grows in a stream without lengths", "an exact size");
    }
    if (!by_length && packet.size != 0 && layout_->select.code.end() > packet.size) {
      place.fail("size " + std::to_string(spec.size),
                 "at least " + std::to_string(layout_->select.code.end()) + " bytes, where the code ends");
    }
  }

  void compile_when(const PacketSpec& spec, Packet& packet, const Place& stream) {
    const Place place = stream.in("when");
    if (!spec.when) {
      if (!spec.when_in.empty()) {
        place.fail("when_in without when", "when, which says where the values stand");
      }
      return;
    }
    packet.has_when = true;
    packet.when = compile_part(spec.when->first, packet.size != 0 ? packet.size : kHeadBytes, false, place);
    packet.when_values.push_back(compile_condition(spec.when->second, packet.when, place));
    for (const std::int64_t value : spec.when_in) {
      packet.when_values.push_back(compile_condition(value, packet.when, place));
    }
  }

  void compile_key(const PacketSpec& spec, Packet& packet, const Place& stream) {
    const Place place = stream.in("key");
    if (!spec.key || spec.key->empty()) {
      if (packet.prototype.kind == Kind::status && !spec.key) {
        packet.prototype.key = kAbsentInt;
        return;
      }
      place.fail("no key", "the parts that name the instrument");
    }
    packet.has_key = true;
    for (const PartSpec& part : *spec.key) {
      packet.key_parts.push_back(compile_part(part, packet.size, true, place));
    }
    packet.key = packet.key_parts.front();
    packet.one_u32_key = packet.key_parts.size() == 1 && packet.key.wire == Wire::u32 &&
                         packet.key.shift == 0 && (packet.key.mask & 0xFFFFFFFFu) == 0xFFFFFFFFu;
  }

  void compile_topic(const PacketSpec& spec, Packet& packet, const Place& place) {
    if (spec.key) {
      place.fail("a key in a topic record", "none: the topic names the instrument");
    }
    packet.has_key = true;
    const std::uint64_t size = packet.size != 0 ? packet.size : kHeadBytes;
    std::size_t least = 0;
    if (packet.shape == Shape::define) {
      packet.key = compile_part(spec.define->topic, size, false, place.in("topic"));
      packet.define = compile_define(*spec.define, packet.key, place.in("define"));
      packet.vector = packet.define.vector;
      least = packet.define.head;
    } else {
      packet.key = compile_part(spec.refer->topic, size, false, place.in("topic"));
      if (packet.shape == Shape::refer_vector) {
        packet.vector = compile_vector(*spec.refer->vector, false, place.in("vector"));
        least = std::max(packet.key.end(), packet.vector.count.end());
      }
    }
    if (least != 0) {
      Depth most;
      for (const Schema& schema : layout_->schemas) {
        most.fixed_levels = std::max(most.fixed_levels, schema.depth.fixed_levels);
        if (schema.depth.tables.size() > most.tables.size()) {
          most.tables = schema.depth.tables;
        }
      }
      note_bounds(least, most);
    }
  }

  /// Keep what the decoder needs to reserve the worst case of a frame from its length alone.
  void note_bounds(std::size_t size, const Depth& depth) {
    Layout& out = *layout_;
    const std::size_t prefix = out.framing.how == FramingHow::counted ? out.framing.length.width : 0;
    least_ = std::min(least_, size + prefix);
    out.min_packet = std::max<std::size_t>(1, least_);
    out.max_levels =
        depth.fixed ? std::max(out.max_levels, depth.fixed_levels) : std::numeric_limits<std::size_t>::max();
    out.levels_per_byte =
        std::max(out.levels_per_byte,
                 static_cast<double>(depth.fixed_levels) / static_cast<double>(size) + depth.levels_per_byte);
    out.max_tables = std::max(out.max_tables, depth.tables.size());
  }

  void check_topics() const {
    bool defines = false;
    for (const Packet& packet : layout_->packets) {
      defines |= packet.shape == Shape::define;
    }
    for (const Packet& packet : layout_->packets) {
      const bool refers = packet.shape == Shape::refer_vector || packet.shape == Shape::refer_fields;
      if (refers && !defines) {
        place_.in("layout", packet.name)
            .fail("refer in a stream that defines no topics", "a layout with define");
      }
    }
    if (defines && layout_->schemas.empty()) {
      place_.fail("define without schemas", "schemas that say what a topic's values mean");
    }
  }

  void compile_selector() {
    Layout& out = *layout_;
    std::map<std::uint64_t, std::vector<std::int16_t>> exact;
    std::map<std::uint64_t, std::vector<std::int16_t>, std::greater<>> growing;
    for (std::size_t i = 0; i < out.packets.size(); ++i) {
      const PacketSpec& spec = spec_.layouts[i];
      const Place place = place_.in("layout", spec.name);
      const auto index = static_cast<std::int16_t>(i);
      if (out.select.by_length) {
        if (spec.code) {
          place.fail("code " + std::to_string(*spec.code), "none: the stream selects by length");
        }
        (spec.grows ? growing[out.packets[i].size] : exact[out.packets[i].size]).push_back(index);
      } else {
        if (!spec.code) {
          place.fail("no code", "the value that selects it");
        }
        exact[compile_condition(*spec.code, out.select.code, place.in("code"))].push_back(index);
      }
    }
    for (auto& [value, candidates] : exact) {
      link(candidates);
      if (value < out.select.direct.size()) {
        out.select.direct[value] = candidates.front();
        const Packet& first = out.packets[static_cast<std::size_t>(candidates.front())];
        if (first.simple && !first.has_when) {
          out.select.quick[value] = &first;
        } else {
          out.select.forks[value] = fork_of(candidates);
        }
      } else {
        out.select.others.emplace_back(value, candidates.front());
      }
    }
    for (auto& [size, candidates] : growing) {
      link(candidates);
      if (!out.select.growing.empty()) {
        std::int16_t last = out.select.growing.back().second;
        while (out.packets[static_cast<std::size_t>(last)].next >= 0) {
          last = out.packets[static_cast<std::size_t>(last)].next;
        }
        out.packets[static_cast<std::size_t>(last)].next = candidates.front();
      }
      out.select.growing.emplace_back(size, candidates.front());
    }
  }

  /// Return the table of candidates that one byte tells apart, null where it takes more than that.
  [[nodiscard]] std::unique_ptr<const Fork> fork_of(const std::vector<std::int16_t>& candidates) const {
    auto fork = std::make_unique<Fork>();
    bool placed = false;
    for (const std::int16_t index : candidates) {
      const Packet& packet = layout_->packets[static_cast<std::size_t>(index)];
      if (!packet.simple) {
        return nullptr;
      }
      if (!packet.has_when) {
        continue;
      }
      const Load& part = packet.when;
      const bool whole_byte = part.wire == Wire::u8 && part.shift == 0 && (part.mask & 0xFF) == 0xFF;
      if (!whole_byte || (placed && part.offset != fork->offset)) {
        return nullptr;
      }
      fork->offset = part.offset;
      placed = true;
    }
    for (std::size_t byte = 0; byte < fork->by_byte.size(); ++byte) {
      for (const std::int16_t index : candidates) {
        const Packet& packet = layout_->packets[static_cast<std::size_t>(index)];
        const auto& values = packet.when_values;
        if (!packet.has_when || std::find(values.begin(), values.end(), byte) != values.end()) {
          fork->by_byte[byte] = &packet;
          break;
        }
      }
    }
    return fork;
  }

  /// Chain the layouts of one selector value, those with a condition first, and refuse what could match
  /// twice.
  void link(std::vector<std::int16_t>& candidates) {
    std::vector<Packet>& packets = layout_->packets;
    const auto packet = [&](std::int16_t index) -> Packet& {
      return packets[static_cast<std::size_t>(index)];
    };
    std::stable_sort(candidates.begin(), candidates.end(), [&](std::int16_t a, std::int16_t b) {
      return packet(a).has_when && !packet(b).has_when;
    });
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const Packet& one = packet(candidates[i]);
      const Place place = place_.in("layout", one.name);
      for (std::size_t j = 0; j < i; ++j) {
        const Packet& other = packet(candidates[j]);
        if (!one.has_when && !other.has_when) {
          place.fail("the selector of layout '" + other.name + "'",
                     "another, or a `when` that tells them apart");
        }
        const auto where = [](const Load& part) {
          return std::tuple(part.offset, part.wire, part.shift, part.mask);
        };
        if (!one.has_when || !other.has_when || where(one.when) != where(other.when)) {
          continue;
        }
        for (const std::uint64_t value : one.when_values) {
          if (std::find(other.when_values.begin(), other.when_values.end(), value) !=
              other.when_values.end()) {
            place.fail("`when` value " + std::to_string(value) + " of layout '" + other.name + "' too",
                       "values that only one of them has");
          }
        }
      }
      if (i > 0) {
        packet(candidates[i - 1]).next = candidates[i];
      }
    }
  }

  const StreamSpec& spec_;
  Place place_;
  std::shared_ptr<Layout> layout_;
  std::set<std::string> names_;
  std::string value_type_;
  std::size_t least_ = std::numeric_limits<std::size_t>::max();
};

}  // namespace

int Selector::find(std::uint64_t value) const noexcept {
  if (value < direct.size()) {
    if (direct[value] >= 0) {
      return direct[value];
    }
  } else if (!others.empty()) {
    const auto found =
        std::lower_bound(others.begin(), others.end(), value,
                         [](const auto& entry, std::uint64_t wanted) { return entry.first < wanted; });
    if (found != others.end() && found->first == value) {
      return found->second;
    }
  }
  for (const auto& [size, index] : growing) {
    if (size <= value) {
      return index;
    }
  }
  return -1;
}

std::shared_ptr<const Layout> compile(const StreamSpec& spec) {
  return Compiler(spec).run();
}

}  // namespace dragoman::packed

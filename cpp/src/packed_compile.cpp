#include <algorithm>
#include <limits>
#include <set>

#include "packed_check.hpp"
#include "packed_fields.hpp"
#include "packed_read.hpp"

namespace dragoman::packed {
namespace {

constexpr std::size_t kMostLayouts = 1024;

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
    compile_selector(spec_, *layout_, place_);
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
      out.schemas.push_back(compile_schema(spec, out.value_width, out.big, place));
    }
    std::stable_sort(out.schemas.begin(), out.schemas.end(),
                     [](const Schema& a, const Schema& b) { return a.prefix.size() > b.prefix.size(); });
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

  const StreamSpec& spec_;
  Place place_;
  std::shared_ptr<Layout> layout_;
  std::set<std::string> names_;
  std::string value_type_;
  std::size_t least_ = std::numeric_limits<std::size_t>::max();
};

}  // namespace

std::vector<std::string> Layout::packet_names() const {
  std::vector<std::string> names;
  names.reserve(packets.size());
  for (const Packet& packet : packets) {
    names.push_back(packet.name);
  }
  return names;
}

std::shared_ptr<const Layout> compile(const StreamSpec& spec) {
  return Compiler(spec).run();
}

}  // namespace dragoman::packed

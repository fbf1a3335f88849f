#include <algorithm>
#include <array>

#include "dragoman/packed_decoder.hpp"
#include "packed_levels.hpp"
#include "packed_read.hpp"

/// Topic streams: a `define` record binds a small id to a name, a schema and a scale; later records bring a
/// vector of values by position, with a sentinel for "as before". What a position last held is kept as wire
/// bytes, because levels are made of several positions that need not change together; plain fields are kept
/// in the merged record.
namespace dragoman::packed {

namespace {

std::array<double, 4> top_of(const Record& record) noexcept {
  static_assert(static_cast<int>(Slot::ask_quantity) == static_cast<int>(Slot::bid_price) + 3);
  const double* const first = record.values + static_cast<std::size_t>(Slot::bid_price);
  return {first[0], first[1], first[2], first[3]};
}

}  // namespace

void Decoder::bind_text(std::string_view text, std::int32_t instrument) {
  names_.insert_or_assign(std::string(text), instrument);
  for (Topic& topic : topics_) {
    if (topic.name == text) {
      topic.instrument = instrument;
    }
  }
}

void Decoder::unbind_text(std::string_view text) {
  names_.erase(std::string(text));
  for (Topic& topic : topics_) {
    if (topic.name == text) {
      topic.instrument = kUnbound;
    }
  }
}

Decoder::Topic* Decoder::find_topic(std::int64_t id) noexcept {
  const std::int32_t* const found = topic_index_.find(id);
  return found != nullptr ? &topics_[static_cast<std::size_t>(*found)] : nullptr;
}

/// Return the bytes of a record with a vector, 0 where it does not fit into `available`.
///
/// @param values       out: offset of the first value
/// @param value_count  out
/// @param name_length  out: of a define record
std::size_t Decoder::measure(const Packet& layout, const std::uint8_t* packet, std::size_t available,
                             std::size_t& values, std::size_t& value_count,
                             std::size_t& name_length) const noexcept {
  const bool big = layout_->big;
  const VectorOp& vector = layout.vector;
  std::size_t name_end = 0;
  if (layout.shape == Shape::define) {
    if (available < layout.define.head) {
      return 0;
    }
    name_length = load_part(layout.define.name_length, packet, big);
    if (name_length > available - layout.define.name_offset) {
      return 0;
    }
    name_end = layout.define.name_offset + name_length;
  } else if (available < layout.key.end()) {
    return 0;
  }
  const std::size_t base = vector.after_name ? name_end : 0;
  if (available - base < vector.count.end()) {
    return 0;
  }
  value_count = load_part(vector.count, packet + base, big);
  values = std::max(base + vector.count.end(), name_end);
  if (value_count > (available - values) / vector.width) {
    return 0;
  }
  std::size_t end = values + value_count * vector.width;
  if (layout.shape != Shape::define) {
    return end;
  }
  if (available - end < layout.define.tail_size) {
    return 0;
  }
  end += layout.define.tail_size;
  for (std::uint32_t i = 0; i < layout.define.tail_texts; ++i) {
    if (end >= available || available - end - 1 < packet[end]) {
      return 0;
    }
    end += 1 + std::size_t{packet[end]};
  }
  return end;
}

void Decoder::decode_define(const Packet& layout, const std::uint8_t* packet, std::size_t size,
                            std::size_t values, std::size_t value_count, std::size_t name_length,
                            Sink& sink) {
  const DefineOp& define = layout.define;
  const bool big = layout_->big;
  const std::uint8_t* const tail = packet + values + value_count * layout.vector.width;
  Divisor scale = layout.scale;
  const bool own_scale = define.precision.has_value() || define.multiplier.has_value();
  const bool readable =
      !own_scale || make_divisor(define.precision ? load_part(*define.precision, tail, big) : 0,
                                 define.multiplier ? load_part(*define.multiplier, tail, big) : 1, scale);
  if (!readable || name_length > kMaxTopicName || tail > packet + size) {
    return malformed(sink);
  }
  const auto id = static_cast<std::int64_t>(load_part(layout.key, packet, big));
  Topic* topic = find_topic(id);
  if (topic == nullptr) {
    if (topics_.size() >= kMaxTopics) {
      ++counters_.table_full;
      return;
    }
    topic_index_.put(id, static_cast<std::int32_t>(topics_.size()));
    topic = &topics_.emplace_back();
  }
  topic->name.assign(reinterpret_cast<const char*>(packet) + define.name_offset, name_length);
  topic->scale = scale;
  topic->seen = false;
  const auto bound = names_.find(topic->name);
  topic->instrument = bound != names_.end() ? bound->second : kUnbound;
  const auto& schemas = layout_->schemas;
  const auto schema = std::find_if(schemas.begin(), schemas.end(),
                                   [&](const Schema& one) { return topic->name.starts_with(one.prefix); });
  if (schema == schemas.end()) {
    topic->schema = nullptr;
    ++counters_.undefined_topics;
    return;
  }
  topic->schema = &*schema;
  topic->values.assign(std::size_t{schema->positions} * layout_->value_width, 0);
  topic->known.assign(schema->positions, 0);
  apply_vector(layout, *topic, id, packet + values, value_count, true, sink);
}

void Decoder::apply_vector(const Packet& layout, Topic& topic, std::int64_t id, const std::uint8_t* values,
                           std::size_t count, bool define, Sink& sink) {
  read_left_first(sink);
  const Schema& schema = *topic.schema;
  const VectorOp& vector = layout.vector;
  const bool big = layout_->big;
  const bool over = layout.merge && !define && topic.seen;
  const bool keeps = layout.merge || define;
  std::array<std::uint8_t, kMaxPositions> now;  // only the schema's positions are read
  std::fill_n(now.begin(), schema.positions, std::uint8_t{0});
  count = std::min<std::size_t>(count, schema.positions);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* const at = values + i * vector.width;
    const std::int64_t raw = big ? load_integer<true>(vector.wire, at) : load_integer<false>(vector.wire, at);
    const Schema::Sentinel& sentinel = schema.sentinels[i];
    if ((vector.has_unchanged && raw == vector.unchanged) || (sentinel.present && raw == sentinel.value)) {
      continue;
    }
    now[i] = 1;
    if (keeps) {
      std::copy_n(at, vector.width, topic.values.data() + i * vector.width);
      topic.known[i] = 1;
    }
  }

  Record& record = *sink.record;
  if (over) {
    copy_pieces(record, topic.last);
  } else {
    copy_pieces(record, schema.prototype);
  }
  const std::uint32_t before = record.present;
  Outcome outcome;
  std::uint32_t told = 0;
  const Run run{values, 0, 1, &topic.scale, &record, &outcome};
  for (const Schema::Value& value : schema.values) {
    if (now[value.position] != 0) {
      told |= 1u << value.op.slot;
      value.run(run, &value.op, 1);
    }
  }
  Level* level = sink.level;
  const Depth& depth = schema.depth;
  if (!depth.tables.empty()) {
    // A level may rest on positions told earlier, so tables are read from what is stored, where anything is.
    const std::uint8_t* const stored = keeps ? topic.values.data() : values;
    const std::uint8_t* const known = keeps ? topic.known.data() : now.data();
    if (depth.clears) {
      *level++ = {0.0, 0.0, 0, depth.clear_side, Action::clear, 255, 255};
    }
    const Level* const bid = level;
    const Level* ask = level;
    for (std::size_t i = 0; i < depth.tables.size(); ++i) {
      if (i == depth.bid_tables) {
        ask = level;
      }
      level = known_levels(depth.tables[i], stored, known, vector.width, topic.scale, big, level, outcome);
    }
    if (depth.bid_tables == depth.tables.size()) {
      ask = level;
    }
    const std::array<double, 4> former = top_of(record);
    outcome.gone |= fill_top(depth.fill, bid, ask, level, record);
    const std::array<double, 4> latter = top_of(record);
    for (std::uint32_t i = 0; i < 4; ++i) {
      const std::uint32_t bit = 1u << (static_cast<std::uint32_t>(Slot::bid_price) + i);
      told |= (before & bit) == 0 || former[i] != latter[i] ? depth.fill & bit : 0u;
    }
  }
  record.ts_recv = sink.ts_recv;
  record.key = id;
  record.instrument = topic.instrument;
  record.level_begin = static_cast<std::uint32_t>(sink.level - sink.levels);
  record.level_count = static_cast<std::uint32_t>(level - sink.level);
  record.layout = layout.prototype.layout;
  record.source = static_cast<std::uint32_t>(values - sink.frame);
  record.mode = std::max(record.mode, schema.prototype.mode);
  record.kind = schema.prototype.kind;
  record.flags = schema.prototype.flags;
  record.changed = told & ~outcome.gone;
  record.present = record.changed | (before & ~told);
  counters_.unbound += topic.instrument == kUnbound;
  counters_.rejected_values += outcome.rejected;
  if (keeps) {
    copy_pieces(topic.last, record);
    topic.seen = true;
  }
  record.flags |= over ? kFlagMerged : 0;
  sink.level = level;
  ++sink.record;
}

}  // namespace dragoman::packed

#include "dragoman/packed_decoder.hpp"

#include <algorithm>
#include <limits>

#include "packed_check.hpp"
#include "packed_levels.hpp"
#include "packed_read.hpp"

namespace dragoman::packed {
namespace {

/// Choose the divisor of this packet; false where the packet holds none.
template <bool Big>
bool choose_scale(const Packet& layout, const std::uint8_t* packet, Divisor& scale) noexcept {
  switch (layout.scale_how) {
    case ScaleHow::by_part:
      scale = layout.scale_table[load_part<Big>(layout.scale_part, packet) & 0xFF];
      return true;
    case ScaleHow::from_fields:
      return make_divisor(layout.precision ? load_part<Big>(*layout.precision, packet) : 0,
                          layout.multiplier ? load_part<Big>(*layout.multiplier, packet) : 1, scale);
    default:
      scale = layout.scale;
      return true;
  }
}

template <bool Big>
bool read_key(const Packet& layout, const std::uint8_t* packet, std::int64_t& key) noexcept {
  if (layout.one_u32_key) {
    key = load<std::uint32_t, Big>(packet + layout.key.offset);
    return true;
  }
  std::uint64_t bits = 0;
  for (const Load& part : layout.key_parts) {
    if (part.wire == Wire::digits) {
      std::uint64_t value = 0;
      if (!load_digits(packet + part.offset, part.width, value)) {
        return false;
      }
      bits |= (value & part.mask) << part.shift;
    } else {
      bits |= load_part<Big>(part, packet);
    }
  }
  key = static_cast<std::int64_t>(bits);
  return true;
}

Level clear_of(Side side) noexcept {
  return {0.0, 0.0, 0, side, Action::clear, 255, 255};
}

}  // namespace

Decoder::Decoder(std::shared_ptr<const Layout> layout) : layout_(std::move(layout)) {}

void Decoder::decode(const std::uint8_t* frame, std::size_t size, std::int64_t ts_recv, Block& out) {
  out.view = {};
  out.view.ts_recv = ts_recv;
  out.control.clear();
  if (layout_->big) {
    decode_frame<true>(frame, size, out);
  } else {
    decode_frame<false>(frame, size, out);
  }
}

template <bool Big>
void Decoder::decode_frame(const std::uint8_t* frame, std::size_t size, Block& out) {
  const Layout& layout = *layout_;
  ++counters_.frames;
  if (size < layout.framing.min_frame) {
    return;  // a heartbeat
  }
  if (size > std::numeric_limits<std::uint32_t>::max()) [[unlikely]] {
    ++counters_.malformed;
    out.view.errors = 1;
    return;
  }
  if (layout.has_data_when) {
    const auto& values = layout.data_values;
    if (size < layout.data_when.end() ||
        std::find(values.begin(), values.end(), load_part<Big>(layout.data_when, frame)) == values.end()) {
      ++counters_.control;
      to_control(0, size, out);
      return;
    }
  }
  Sink sink{nullptr, nullptr, nullptr, frame, out.view.ts_recv, 0};
  if (size < layout.framing.header || (layout.counts_messages && size < layout.message_number.end())) {
    truncated(sink);
    out.view.errors = sink.errors;
    return;
  }
  if (layout.counts_messages) {
    message_number_ = static_cast<std::int64_t>(load_part<Big>(layout.message_number, frame));
  }
  reserve(frame, size, out);
  sink.record = out.records();
  sink.levels = sink.level = out.levels();
  switch (layout.framing.how) {
    case FramingHow::single:
      decode_packet<Big>(frame, size, true, sink, out);
      break;
    case FramingHow::counted:
      decode_counted<Big>(frame, size, sink, out);
      break;
    case FramingHow::back_to_back:
      decode_back_to_back<Big>(frame, size, sink, out);
      break;
  }
  BatchView& view = out.view;
  view.records = out.records();
  view.record_count = static_cast<std::size_t>(sink.record - out.records());
  view.levels = sink.levels;
  view.level_count = static_cast<std::size_t>(sink.level - sink.levels);
  view.errors = sink.errors;
  counters_.records += view.record_count;
  if (view.record_count != 0) {
    sink.record[-1].flags |= kFlagLast;
  }
}

/// Reserve the worst case of this frame: what its length allows, and no more than its count promises.
void Decoder::reserve(const std::uint8_t* frame, std::size_t size, Block& out) const {
  const Layout& layout = *layout_;
  const Framing& framing = layout.framing;
  std::size_t records = 1;
  if (framing.how != FramingHow::single) {
    records = (size - framing.header) / layout.min_packet;
    if (framing.how == FramingHow::counted) {
      records = std::min<std::size_t>(records, load_part(framing.count, frame, layout.big));
    }
  }
  std::size_t levels = static_cast<std::size_t>(static_cast<double>(size) * layout.levels_per_byte) + 1 +
                       records * layout.max_tables;
  if (layout.max_levels <= levels / std::max<std::size_t>(records, 1)) {
    levels = std::min(levels, records * layout.max_levels);
  }
  out.reserve(records, levels);
}

template <bool Big>
void Decoder::decode_counted(const std::uint8_t* frame, std::size_t size, Sink& sink, Block& out) {
  const Framing& framing = layout_->framing;
  const std::uint64_t count = load_part<Big>(framing.count, frame);
  const std::size_t prefix = framing.length.width;
  std::size_t at = framing.header;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (framing.self_delimiting) {
      if (at >= size) {
        return truncated(sink);
      }
      const std::size_t used = decode_packet<Big>(frame + at, size - at, false, sink, out);
      if (used == 0) {
        return;
      }
      at += used;
      continue;
    }
    if (size - at < prefix) {
      return truncated(sink);
    }
    const std::uint64_t length = load_part<Big>(framing.length, frame + at);
    at += prefix;
    if (length > size - at) {
      return truncated(sink);
    }
    decode_packet<Big>(frame + at, length, true, sink, out);
    at += length;
  }
  if (at != size) {
    malformed(sink);  // bytes that the count does not account for
  }
}

template <bool Big>
void Decoder::decode_back_to_back(const std::uint8_t* frame, std::size_t size, Sink& sink, Block& out) {
  const Framing& framing = layout_->framing;
  std::size_t at = framing.header;
  while (at < size) {
    if (!framing.has_length_at) {
      const std::size_t used = decode_packet<Big>(frame + at, size - at, false, sink, out);
      if (used == 0) {
        return;
      }
      at += used;
      continue;
    }
    if (size - at < framing.length_at.end()) {
      return truncated(sink);
    }
    const std::uint64_t length = load_part<Big>(framing.length_at, frame + at);
    if (length < framing.length_at.end()) {
      return malformed(
          sink);  // a length that does not even cover itself: where the next packet starts is unknown
    }
    if (length > size - at) {
      return truncated(sink);
    }
    decode_packet<Big>(frame + at, length, true, sink, out);
    at += length;
  }
}

template <bool Big>
const Packet* Decoder::select(const std::uint8_t* packet, std::size_t length) const noexcept {
  const Selector& selector = layout_->select;
  int index = selector.find(selector.by_length ? length : load_part<Big>(selector.code, packet));
  while (index >= 0) {
    const Packet& candidate = layout_->packets[static_cast<std::size_t>(index)];
    if (!candidate.has_when) {
      return &candidate;
    }
    if (length >= candidate.when.end()) {
      const auto& values = candidate.when_values;
      if (std::find(values.begin(), values.end(), load_part<Big>(candidate.when, packet)) != values.end()) {
        return &candidate;
      }
    }
    index = candidate.next;
  }
  return nullptr;
}

/// Decode one packet and return its bytes; 0 where its end cannot be told and the frame must be given up.
///
/// @param exact  `length` is the packet's own; otherwise it is what the frame has left
template <bool Big>
std::size_t Decoder::decode_packet(const std::uint8_t* packet, std::size_t length, bool exact, Sink& sink,
                                   Block& out) {
  ++counters_.packets;
  const std::size_t start = static_cast<std::size_t>(packet - sink.frame);
  if (!layout_->select.by_length && length < layout_->select.code.end()) [[unlikely]] {
    truncated(sink);
    return exact ? length : 0;
  }
  const Packet* const layout = select<Big>(packet, length);
  if (layout == nullptr) [[unlikely]] {
    ++counters_.unknown_packets;
    ++sink.errors;
    to_control(start, start + length, out);
    return exact ? length : 0;
  }
  if (layout->control) {
    if (!exact && length < layout->size) {
      truncated(sink);
      return 0;
    }
    const std::size_t used = exact ? length : layout->size;
    ++counters_.control;
    to_control(start, start + used, out);
    return used;
  }
  if (layout->shape == Shape::define || layout->shape == Shape::refer_vector) {
    std::size_t values = 0;
    std::size_t value_count = 0;
    std::size_t name_length = 0;
    const std::size_t used = measure(*layout, packet, length, values, value_count, name_length);
    if (used == 0) {
      truncated(sink);
      return exact ? length : 0;
    }
    if (layout->shape == Shape::define) {
      decode_define(*layout, packet, used, values, value_count, name_length, sink);
    } else {
      const auto id = static_cast<std::int64_t>(load_part<Big>(layout->key, packet));
      if (Topic* const topic = find_topic(id); topic != nullptr && topic->schema != nullptr) {
        apply_vector(*layout, *topic, id, packet + values, value_count, false, sink);
      } else {
        ++counters_.undefined_topics;
      }
    }
    return exact ? length : used;
  }
  if (length < layout->size) [[unlikely]] {
    truncated(sink);
    return exact ? length : 0;
  }
  if (!exact) {
    length = layout->size;
  } else if (length > layout->size && !layout->grows) [[unlikely]] {
    malformed(sink);
    return length;
  }
  decode_plain<Big>(*layout, packet, length, sink);
  return length;
}

template <bool Big>
void Decoder::decode_plain(const Packet& layout, const std::uint8_t* packet, std::size_t length, Sink& sink) {
  if (layout.shape == Shape::refer_fields) {
    const auto id = static_cast<std::int64_t>(load_part<Big>(layout.key, packet));
    Topic* const topic = find_topic(id);
    if (topic == nullptr || topic->schema == nullptr) {
      ++counters_.undefined_topics;
      return;
    }
    const Divisor scale = layout.scale_how == ScaleHow::topic ? topic->scale : layout.scale;
    Record* const record = sink.record;
    fill_record<Big>(layout, packet, length, scale, id, topic->instrument,
                     layout.merge ? &topic->last : nullptr, topic->seen, sink);
    topic->seen |= layout.merge;
    if (sink.record != record) {
      record->flags |= topic->schema->prototype.flags & kFlagIndex;
    }
    return;
  }
  Divisor scale;
  std::int64_t key = kAbsentInt;
  if (!choose_scale<Big>(layout, packet, scale) || (layout.has_key && !read_key<Big>(layout, packet, key)))
      [[unlikely]] {
    return malformed(sink);
  }
  Record* last = nullptr;
  bool seen = false;
  if (layout.merge && layout.has_key) {
    last = merged_record(key, seen);
  }
  fill_record<Big>(layout, packet, length, scale, key, instrument_of(key), last, seen, sink);
}

/// Write one record and its levels.
///
/// @param last  the merged record to lay this packet over and to keep the result in; null where nothing is
/// merged
/// @param seen  `last` holds something already
template <bool Big>
void Decoder::fill_record(const Packet& layout, const std::uint8_t* packet, std::size_t length, Divisor scale,
                          std::int64_t key, std::int32_t instrument, Record* last, bool seen, Sink& sink) {
  Record& record = *sink.record;
  Outcome outcome;
  const bool over = last != nullptr && seen;
  if (over) {
    copy_pieces(record, *last);
  } else {
    copy_pieces(record, layout.prototype);
  }
  for (std::uint32_t i = 0; i < layout.group_count; ++i) {
    const Group& group = layout.groups[i];
    group.run(packet, group.ops, group.count, scale, record, outcome);
  }
  Level* level = sink.level;
  const Depth& depth = layout.depth;
  if (!depth.tables.empty()) {
    if (depth.clears) {
      *level++ = clear_of(depth.clear_side);
    }
    const Level* const bid = level;
    const Level* ask = level;
    for (std::size_t i = 0; i < depth.tables.size(); ++i) {
      if (i == depth.bid_tables) {
        ask = level;
      }
      const LevelTable& table = depth.tables[i];
      std::uint32_t rows = table.rows;
      if (table.how != LevelTable::Rows::fixed && !count_rows(table, packet, length, Big, rows))
          [[unlikely]] {
        return malformed(sink);
      }
      level = table.run(packet, table, rows, scale, level, outcome);
    }
    if (depth.bid_tables == depth.tables.size()) {
      ask = level;
    }
    if (depth.fill != 0) {
      fill_top(depth, bid, ask, level, record, outcome);
    }
  }
  record.ts_recv = sink.ts_recv;
  record.key = key;
  record.instrument = instrument;
  record.level_begin = static_cast<std::uint32_t>(sink.level - sink.levels);
  record.level_count = static_cast<std::uint32_t>(level - sink.level);
  record.source = static_cast<std::uint32_t>(packet - sink.frame);
  counters_.unbound += instrument == kUnbound && layout.has_key;
  counters_.rejected_values += outcome.rejected;
  const std::uint32_t came = layout.mask & ~(outcome.gone | outcome.kept);
  if (over) {
    const Record& prototype = layout.prototype;
    record.changed = came;
    record.present = came | (record.present & ~(layout.mask & ~outcome.kept));
    record.kind = prototype.kind;
    record.mode = std::max(record.mode, prototype.mode);
    record.flags = prototype.flags;
    record.layout = prototype.layout;
  } else {
    record.present = came;
    record.changed = came;
  }
  if (last != nullptr) {
    copy_pieces(*last, record);
    record.flags |= over ? kFlagMerged : 0;
  }
  sink.level = level;
  ++sink.record;
}

/// Take the top of book from the first levels, for the slots that the layout does not set itself.
void Decoder::fill_top(const Depth& depth, const Level* bid, const Level* ask, const Level* end,
                       Record& record, Outcome& outcome) const noexcept {
  const auto fill = [&](Slot price, Slot quantity, const Level* first, bool there) {
    for (const Slot slot : {price, quantity}) {
      const auto index = static_cast<std::size_t>(slot);
      if ((depth.fill >> index & 1u) == 0) {
        continue;
      }
      if (there) {
        record.values[index] = slot == price ? first->price : first->quantity;
      } else {
        record.values[index] = kNan;
        outcome.gone |= 1u << index;
      }
    }
  };
  fill(Slot::bid_price, Slot::bid_quantity, bid, bid != ask);
  fill(Slot::ask_price, Slot::ask_quantity, ask, ask != end);
}

Record* Decoder::merged_record(std::int64_t key, bool& seen) {
  if (const std::int32_t* const found = merged_index_.find(key)) {
    seen = true;
    return &merged_[static_cast<std::size_t>(*found)];
  }
  if (merged_.size() >= kMaxMerged) {
    ++counters_.table_full;
    return nullptr;
  }
  merged_index_.put(key, static_cast<std::int32_t>(merged_.size()));
  return &merged_.emplace_back(empty_record());
}

}  // namespace dragoman::packed

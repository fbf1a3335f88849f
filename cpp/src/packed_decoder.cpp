#include "dragoman/packed_decoder.hpp"

#include <algorithm>
#include <limits>
#include <new>

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

/// Write what is known of a record before its values are read; slots that nothing will set become NaN.
[[gnu::always_inline]] inline void start_record(Record& record, const Record& prototype,
                                                std::size_t empty_from) noexcept {
  typedef double Pair __attribute__((vector_size(16), may_alias));
  typedef long long Piece __attribute__((vector_size(16), may_alias));
  const auto* const from = reinterpret_cast<const Piece*>(&prototype);
  auto* const to = reinterpret_cast<Piece*>(&record);
  to[0] = from[0];
  to[1] = from[1];
  to[2] = from[2];
  to[3] = from[3];
  to[4] = from[4];
  auto* const pairs = reinterpret_cast<Pair*>(record.values);
  constexpr Pair kEmpty{kNan, kNan};
  static_assert(kSlots == 24);
  switch (empty_from /
          2) {  // a jump into a row of stores: most layouts leave only some of the last slots empty
    case 0:
      pairs[0] = kEmpty;
      [[fallthrough]];
    case 1:
      pairs[1] = kEmpty;
      [[fallthrough]];
    case 2:
      pairs[2] = kEmpty;
      [[fallthrough]];
    case 3:
      pairs[3] = kEmpty;
      [[fallthrough]];
    case 4:
      pairs[4] = kEmpty;
      [[fallthrough]];
    case 5:
      pairs[5] = kEmpty;
      [[fallthrough]];
    case 6:
      pairs[6] = kEmpty;
      [[fallthrough]];
    case 7:
      pairs[7] = kEmpty;
      [[fallthrough]];
    case 8:
      pairs[8] = kEmpty;
      [[fallthrough]];
    case 9:
      pairs[9] = kEmpty;
      [[fallthrough]];
    case 10:
      pairs[10] = kEmpty;
      [[fallthrough]];
    case 11:
      pairs[11] = kEmpty;
      [[fallthrough]];
    default:
      break;
  }
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
  if (size > out.frame_size) [[unlikely]] {
    reserve(size, out);
  }
  sink.record = out.records();
  sink.levels = sink.level = out.levels();
  switch (layout.framing.how) {
    case FramingHow::single:
      decode_exact<Big>(frame, size, sink, out);
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

/// Reserve the worst case of frames of this size: what the bytes allow, whatever a count promises.
void Decoder::reserve(std::size_t size, Block& out) const {
  const Layout& layout = *layout_;
  size = std::max({size, 2 * out.frame_size, std::size_t{1024}});
  const bool single = layout.framing.how == FramingHow::single;
  const std::size_t records = single ? 1 : size / layout.min_packet + 1;
  std::size_t levels = static_cast<std::size_t>(static_cast<double>(size) * layout.levels_per_byte) + 1 +
                       records * layout.max_tables;
  if (single) {
    levels = std::min(levels, layout.max_levels);
  }
  out.reserve(records, levels);
  out.frame_size = size;
}

template <bool Big>
void Decoder::decode_counted(const std::uint8_t* frame, std::size_t size, Sink& sink, Block& out) {
  const Framing& framing = layout_->framing;
  const std::uint64_t count = load_short<Big>(framing.count, frame);
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
    const std::uint64_t length = load_short<Big>(framing.length, frame + at);
    at += prefix;
    if (length > size - at) {
      return truncated(sink);
    }
    const Packet* const layout =
        layout_->select.by_length ? simple_layout(length, frame + at, length) : nullptr;
    if (layout == nullptr) {
      decode_exact<Big>(frame + at, length, sink, out);
      at += length;
      continue;
    }
    // Packets of one length that follow are mostly of the same layout: decode them together.
    const Fork* const fork = layout_->select.forks[length].get();
    const std::uint8_t* const first = frame + at;
    const std::size_t stride = prefix + length;
    at += length;
    const std::size_t most = std::min<std::size_t>({kMaxRun, count - i, (size - at) / stride + 1});
    const std::uint8_t* next = frame + at;
    std::uint32_t run = 1;
    if (framing.length.wire == Wire::u16) {
      const auto like = load<std::uint16_t, false>(first - prefix);
      if (fork == nullptr) {
        for (; run < most && load<std::uint16_t, false>(next) == like; next += stride) {
          ++run;
        }
      } else {
        const Packet* const* const by_byte = fork->by_byte.data();
        const std::size_t told_by = prefix + fork->offset;
        for (; run < most && load<std::uint16_t, false>(next) == like && by_byte[next[told_by]] == layout;
             next += stride) {
          ++run;
        }
      }
    } else {
      for (; run < most && load_short<Big>(framing.length, next) == length &&
             (fork == nullptr || fork->by_byte[next[prefix + fork->offset]] == layout);
           next += stride) {
        ++run;
      }
    }
    i += run - 1;
    at += (run - 1) * stride;
    decode_run<Big>(*layout, first, stride, run, sink);
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
    const std::uint64_t length = load_short<Big>(framing.length_at, frame + at);
    if (length < framing.length_at.end()) {
      return malformed(
          sink);  // a length that does not even cover itself: where the next packet starts is unknown
    }
    if (length > size - at) {
      return truncated(sink);
    }
    decode_exact<Big>(frame + at, length, sink, out);
    at += length;
  }
}

/// The layout of a packet that `decode_run` may take, null where the general way must look at it.
[[gnu::always_inline]] inline const Packet* Decoder::simple_layout(std::uint64_t selector,
                                                                   const std::uint8_t* packet,
                                                                   std::size_t length) const noexcept {
  const Selector& select = layout_->select;
  if (selector >= select.quick.size()) {
    return nullptr;
  }
  const Packet* layout = select.quick[selector];
  if (layout == nullptr) {
    const Fork* const fork = select.forks[selector].get();
    if (fork == nullptr || length <= fork->offset) {
      return nullptr;
    }
    layout = fork->by_byte[packet[fork->offset]];
  }
  if (layout == nullptr || length < layout->size || (length > layout->size && !layout->grows)) {
    return nullptr;
  }
  return layout;
}

/// Decode a packet whose length is known.
template <bool Big>
void Decoder::decode_exact(const std::uint8_t* packet, std::size_t length, Sink& sink, Block& out) {
  const Selector& selector = layout_->select;
  std::uint64_t value = length;
  if (!selector.by_length) {
    value = length >= selector.code.end() ? load_short<Big>(selector.code, packet) : selector.quick.size();
  }
  if (const Packet* const layout = simple_layout(value, packet, length)) [[likely]] {
    decode_run<Big>(*layout, packet, 0, 1, sink);
  } else {
    decode_packet<Big>(packet, length, true, sink, out);
  }
}

/// The levels of a run of packets whose tables have fixed rows, and the tops of their books.
void Decoder::decode_depth(const Packet& layout, const Run& run, Sink& sink) {
  const Depth& depth = layout.depth;
  const LevelTable* const tables = depth.tables.data();
  const LevelTable* const asks = tables + depth.bid_tables;
  const LevelTable* const end = tables + depth.tables.size();
  Level* const frame_levels = sink.levels;
  Level* level = sink.level;
  const std::uint8_t* packet = run.packet;
  Outcome unused;
  for (std::uint32_t j = 0; j < run.count; ++j, packet += run.stride) {
    Outcome& outcome = layout.sure ? unused : run.outcomes[j];
    Record& record = run.records[j];
    const Divisor& scale = run.scales[j];
    Level* const first = level;
    for (const LevelTable* table = tables; table != asks; ++table) {
      level = table->run(packet, *table, table->rows, scale, level, outcome);
    }
    Level* const ask = level;
    for (const LevelTable* table = asks; table != end; ++table) {
      level = table->run(packet, *table, table->rows, scale, level, outcome);
    }
    record.level_begin = static_cast<std::uint32_t>(first - frame_levels);
    record.level_count = static_cast<std::uint32_t>(level - first);
    if (depth.fill != 0) {
      const std::uint32_t gone = fill_top(depth.fill, first, ask, level, record);
      record.present = record.changed = record.present & ~gone;
    }
  }
  sink.level = level;
}

/// `fill_record` for packets that can go wrong in no way: no merging, no counted rows, no scale to be
/// refused.
template <bool Big>
void Decoder::decode_run(const Packet& layout, const std::uint8_t* packet, std::size_t stride,
                         std::uint32_t count, Sink& sink) {
  // Raw storage: constructing all sixteen would cost more than decoding one packet.
  alignas(Divisor) std::byte scale_storage[kMaxRun * sizeof(Divisor)];
  alignas(Outcome) std::byte outcome_storage[kMaxRun * sizeof(Outcome)];
  auto* const scales = reinterpret_cast<Divisor*>(scale_storage);
  auto* const outcomes = reinterpret_cast<Outcome*>(outcome_storage);
  Record* const records = sink.record;
  std::uint32_t unbound = 0;
  // Copies: the compiler must assume that the stores below change what the layout and the sink say.
  const bool one_u32_key = layout.one_u32_key;
  const bool quick_scale = layout.quick_scale;
  const bool sure = layout.sure;
  const std::size_t key_offset = layout.key.offset;
  const std::size_t scale_byte = layout.scale_byte;
  const std::size_t empty_from = layout.empty_from;
  const Divisor* const table = layout.scale_table.data();
  const std::uint8_t* const frame = sink.frame;
  const std::int64_t ts_recv = sink.ts_recv;
  const KeyMap::View bindings = bindings_.view();
  const std::uint8_t* at = packet;
  for (std::uint32_t j = 0; j < count; ++j, at += stride) {
    Record& record = records[j];
    start_record(record, layout.prototype, empty_from);
    std::int64_t key;
    if (one_u32_key) [[likely]] {
      key = load<std::uint32_t, Big>(at + key_offset);
    } else {
      (void)read_key<Big>(layout, at, key);
    }
    const std::int32_t* const bound = bindings.find(key);
    const std::int32_t instrument = bound != nullptr ? *bound : kUnbound;
    unbound += bound == nullptr;
    record.ts_recv = ts_recv;
    record.key = key;
    record.instrument = instrument;
    record.source = static_cast<std::uint32_t>(at - frame);
    new (scales + j) Divisor(quick_scale ? table[at[scale_byte]] : layout.scale);
    if (!sure) {
      new (outcomes + j) Outcome;
    }
  }
  const Run run{packet, stride, count, scales, records, outcomes};
  for (std::uint32_t i = 0; i < layout.group_count; ++i) {
    const Group& group = layout.groups[i];
    group.run(run, group.ops, group.count);
  }
  if (!layout.depth.tables.empty()) {
    if (layout.depth.run != nullptr) {
      sink.level = layout.depth.run(layout.depth, run, sink.levels, sink.level);
    } else {
      decode_depth(layout, run, sink);
    }
  }
  if (!sure) {
    for (std::uint32_t j = 0; j < count; ++j) {
      if ((outcomes[j].gone | outcomes[j].rejected) != 0) [[unlikely]] {
        records[j].present = records[j].changed = records[j].present & ~outcomes[j].gone;
        counters_.rejected_values += outcomes[j].rejected;
      }
    }
  }
  counters_.packets += count;
  counters_.unbound += unbound;
  sink.record += count;
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
void Decoder::fill_record(const Packet& layout, const std::uint8_t* packet, std::size_t length,
                          const Divisor& scale, std::int64_t key, std::int32_t instrument, Record* last,
                          bool seen, Sink& sink) {
  Record& record = *sink.record;
  Outcome outcome;
  const bool over = last != nullptr && seen;
  if (over) {
    copy_pieces(record, *last);
  } else {
    copy_pieces(record, layout.prototype);
  }
  const Run run{packet, 0, 1, &scale, &record, &outcome};
  for (std::uint32_t i = 0; i < layout.group_count; ++i) {
    const Group& group = layout.groups[i];
    group.run(run, group.ops, group.count);
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
      outcome.gone |= fill_top(depth.fill, bid, ask, level, record);
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

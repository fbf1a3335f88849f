#include <algorithm>
#include <new>

#include "dragoman/packed_decoder.hpp"
#include "packed_levels.hpp"
#include "packed_read.hpp"

/// From a packet to its record: many simple ones at a time, or one with all that can go wrong.
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

typedef long long Piece __attribute__((vector_size(16), may_alias));

/// A record up to its values, as a loop keeps it in registers: stores into records cannot make it be read
/// again.
struct Head {
  Piece pieces[5];

  Head(const Record& prototype, std::int64_t ts_recv) noexcept {
    static_assert(offsetof(Record, ts_recv) == 0 && offsetof(Record, values) == sizeof(pieces));
    const auto* const from = reinterpret_cast<const Piece*>(&prototype);
    for (int i = 0; i < 5; ++i) {
      pieces[i] = from[i];
    }
    pieces[0][0] = ts_recv;
  }
};

/// Write what is known of a record before its values are read; slots that nothing will set become NaN.
[[gnu::always_inline]] inline void start_record(Record& record, const Head& head,
                                                std::size_t empty_from) noexcept {
  typedef double Pair __attribute__((vector_size(16), may_alias));
  auto* const to = reinterpret_cast<Piece*>(&record);
  to[0] = head.pieces[0];
  to[1] = head.pieces[1];
  to[2] = head.pieces[2];
  to[3] = head.pieces[3];
  to[4] = head.pieces[4];
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

/// The levels of the runs that were left, at the place of those to come.
void Decoder::read_left(Sink& sink) noexcept {
  alignas(Divisor) std::byte scale_storage[kMaxRun * sizeof(Divisor)];
  auto* const scales = reinterpret_cast<Divisor*>(scale_storage);
  Outcome unused;
  for (const Left& left : left_) {
    const Packet& layout = *left.layout;
    const std::uint8_t* at = left.packet;
    for (std::uint32_t j = 0; j < left.count; ++j, at += left.stride) {
      new (scales + j) Divisor(layout.quick_scale ? layout.scale_table[at[layout.scale_byte]] : layout.scale);
    }
    const Run run{left.packet, left.stride, left.count, scales, left.records, &unused};
    sink.level = layout.depth.run(layout.depth, run, sink.levels, sink.level);
  }
  left_.clear();
}

/// `fill_record` for packets that can go wrong in no way: no merging, no counted rows, no scale to be
/// refused.
template <bool Big>
void Decoder::decode_run(const Packet& layout, const std::uint8_t* packet, std::size_t stride,
                         std::uint32_t count, Sink& sink) {
  // Raw storage: constructing them all would cost more than decoding one packet.
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
  const Head head(layout.prototype, sink.ts_recv);
  const KeyMap::View bindings = bindings_.view();
  const std::uint8_t* at = packet;
  for (std::uint32_t j = 0; j < count; ++j, at += stride) {
    Record& record = records[j];
    start_record(record, head, empty_from);
    std::int64_t key;
    if (one_u32_key) [[likely]] {
      key = load<std::uint32_t, Big>(at + key_offset);
    } else {
      (void)read_key<Big>(layout, at, key);
    }
    const std::int32_t* const bound = bindings.find(key);
    const std::int32_t instrument = bound != nullptr ? *bound : kUnbound;
    unbound += bound == nullptr;
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
    if (leaves_ && layout.depth.tops != nullptr) {
      layout.depth.tops(layout.depth, run);
      left_.push_back({&layout, packet, stride, count, records});
    } else if (read_left_first(sink); layout.depth.run != nullptr) {
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
    if (sink.record != record) {
      topic->seen |= layout.merge;
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
  const bool merges = layout.merge && layout.has_key;
  Record* const last = merges ? find_merged(key) : nullptr;
  const Record* const record = sink.record;
  fill_record<Big>(layout, packet, length, scale, key, instrument_of(key), last, last != nullptr, sink);
  if (merges && last == nullptr && sink.record != record) {
    remember(*record);
  }
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
  read_left_first(sink);
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

Record* Decoder::find_merged(std::int64_t key) noexcept {
  const std::int32_t* const found = merged_index_.find(key);
  return found != nullptr ? &merged_[static_cast<std::size_t>(*found)] : nullptr;
}

/// Keep the first record of an instrument for later ones to be laid over.
void Decoder::remember(const Record& record) {
  if (merged_.size() >= kMaxMerged) {
    ++counters_.table_full;
    return;
  }
  merged_index_.put(record.key, static_cast<std::int32_t>(merged_.size()));
  merged_.push_back(record);
}

template void Decoder::decode_run<true>(const Packet&, const std::uint8_t*, std::size_t, std::uint32_t,
                                        Sink&);
template void Decoder::decode_run<false>(const Packet&, const std::uint8_t*, std::size_t, std::uint32_t,
                                         Sink&);
template void Decoder::decode_plain<true>(const Packet&, const std::uint8_t*, std::size_t, Sink&);
template void Decoder::decode_plain<false>(const Packet&, const std::uint8_t*, std::size_t, Sink&);

}  // namespace dragoman::packed

#include "dragoman/packed_decoder.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "packed_read.hpp"

/// From a frame to its packets: how many there are, where each ends and which layout it has.
namespace dragoman::packed {

extern template void Decoder::decode_run<true>(const Packet&, const std::uint8_t*, std::size_t, std::uint32_t,
                                               Sink&);
extern template void Decoder::decode_run<false>(const Packet&, const std::uint8_t*, std::size_t,
                                                std::uint32_t, Sink&);
extern template void Decoder::decode_plain<true>(const Packet&, const std::uint8_t*, std::size_t, Sink&);
extern template void Decoder::decode_plain<false>(const Packet&, const std::uint8_t*, std::size_t, Sink&);

Decoder::Decoder(std::shared_ptr<const Layout> layout) : layout_(std::move(layout)) {}

void Decoder::decode(const std::uint8_t* frame, std::size_t size, std::int64_t ts_recv, Block& out) {
  leaves_ = false;
  decode_any(frame, size, ts_recv, out);
}

void Decoder::decode_heads(const std::uint8_t* frame, std::size_t size, std::int64_t ts_recv, Block& out) {
  leaves_ = true;
  decode_any(frame, size, ts_recv, out);
  if (!left_.empty()) {
    out.unread = this;
    left_in_ = &out;
  }
}

void Decoder::decode_any(const std::uint8_t* frame, std::size_t size, std::int64_t ts_recv, Block& out) {
  if (left_in_ != nullptr) [[unlikely]] {
    read_levels();
  }
  left_.clear();  // nobody's: memory ran out half way
  out.view = {};
  out.view.ts_recv = ts_recv;
  out.control.clear();
  if (layout_->big) {
    decode_frame<true>(frame, size, out);
  } else {
    decode_frame<false>(frame, size, out);
  }
}

void Decoder::read_levels() noexcept {
  Block* const block = std::exchange(left_in_, nullptr);
  if (block == nullptr) {
    return;
  }
  block->unread = nullptr;
  Level* const levels = block->levels();
  Sink sink{nullptr, levels, levels + block->view.level_count, nullptr, 0, 0};
  read_left(sink);
  block->view.level_count = static_cast<std::size_t>(sink.level - levels);
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

}  // namespace dragoman::packed

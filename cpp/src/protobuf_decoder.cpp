#include "dragoman/protobuf_decoder.hpp"

#include <algorithm>
#include <limits>

#include "packed_read.hpp"
#include "protobuf_convert.hpp"

/// From a frame to its messages: which record a field belongs to and what is
/// done with it.
namespace dragoman::protobuf {
namespace {

bool says(const Condition& condition, std::string_view text) noexcept {
  return std::any_of(condition.texts.begin(), condition.texts.end(), [text](const std::string& one) {
    return one.size() == text.size() && TextMap::same(one.data(), text.data(), text.size());
  });
}

}  // namespace

Decoder::Decoder(std::shared_ptr<const Layout> layout) : layout_(std::move(layout)) {
  packed::copy_pieces(shared_, layout_->blank);
}

void Decoder::decode(const std::uint8_t* frame, std::size_t size, std::int64_t ts_recv, Block& out) {
  out.view = {};
  out.view.ts_recv = ts_recv;
  out.control.clear();
  ++counters_.frames;
  if (size > std::numeric_limits<std::uint32_t>::max()) [[unlikely]] {
    ++counters_.malformed;
    out.view.errors = 1;
    return;
  }
  const Layout& layout = *layout_;
  const Node& root = layout.nodes[0];
  const std::uint8_t* const end = frame + size;
  frame_ = frame;
  frame_end_ = end;
  block_ = &out;
  ts_recv_ = ts_recv;
  bool right = true;
  careful_ = false;
  if (root.condition.present) {
    bool met = false;
    right = meets(root.condition, frame, end, met);
    if (right && met) {
      ++counters_.control;
      out.control.push_back({0, static_cast<std::uint32_t>(size)});
      return;
    }
  }
  for (bool again = right; again;) {
    out.control.clear();
    records_ = out.records();
    record_count_ = level_count_ = 0;
    packets_ = unknown_ = rejected_ = 0;
    pending_.clear();
    composed_.clear();
    rows_placed_.clear();
    in_record_ = false;
    in_order_ = true;
    current_ = {};
    if (layout.root_is_record) {
      right = record(root, layout.root_shape, frame, end);
    } else {
      packed::copy_pieces(shared_, layout.blank);
      right = message(root, frame, end, shared_);
    }
    again = !right && (why_ == Why::no_room || why_ == Why::twice);
    if (again && why_ == Why::twice) [[unlikely]] {
      careful_ = true;
    } else if (again) {
      const bool records = record_count_ == out.record_capacity();
      out.reserve(records ? std::max<std::size_t>(2 * record_count_, 16) : 0,
                  records ? 0 : std::max<std::size_t>(2 * level_count_, 64));
    }
  }
  if (!right) {
    ++(why_ == Why::truncated ? counters_.truncated : counters_.malformed);
    out.control.clear();
    out.view.errors = 1;
    return;
  }
  commit();
}

/// Whether a message begins with the one text that makes it count, the usual place of such a field; then `at`
/// goes behind it. That it comes again, and says otherwise, is seen later.
[[gnu::always_inline]] inline bool Decoder::met_first(const Condition& condition, const std::uint8_t*& at,
                                                      const std::uint8_t* end) const noexcept {
  if (condition.wire_size == 0 || careful_ || end - at < condition.wire_size || frame_end_ - at < 8 ||
      (load_bits<std::uint64_t>(at) & condition.wire_mask) != condition.wire) {
    return false;
  }
  at += condition.wire_size;
  return true;
}

/// A message and those nested in it that belong to the same record. They are
/// opened and closed on a small stack here rather than by recursion, which
/// would cost more than reading most of them.
bool Decoder::message(const Node& outermost, const std::uint8_t* at, const std::uint8_t* end, Record& to) {
  const auto stop = [this](Read read) {
    return fail(read == Read::truncated ? Why::truncated : Why::malformed);
  };
  struct Around {
    const Node* node;
    const std::uint8_t* end;
  };
  Around around[kMaxDepth];
  std::size_t depth = 0;
  const Node* const nodes = layout_->nodes.data();
  const Node* node = &outermost;
  const std::uint8_t* decided = nullptr;  // the end of the last message whose first field decided
  const std::uint8_t* next;               // what other functions move along, so that `at` may
                                          // stay in a register
  for (;;) {
    while (at == end) {
      if (node->preset_mask != 0) {
        fill_in(*node, to);
      }
      if (depth == 0) {
        return true;
      }
      --depth;
      node = around[depth].node;
      end = around[depth].end;
    }
    std::uint32_t tag = *at;
    const Entry* entry;
    if (tag < 0x80) [[likely]] {
      ++at;
      entry = &node->entries[node->direct[tag]];
    } else {
      if (const Read read = read_tag(at, end, tag); read != Read::ok) {
        return stop(read);
      }
      entry = &entry_of(*node, tag);
    }
    // The plainest fields by branches, which are predicted better than one jump
    // through a table.
    if (entry->act == Do::f64) {
      if (end - at < 8) [[unlikely]] {
        return fail(Why::truncated);
      }
      const auto found = load_bits<double>(at);
      at += 8;
      if (!is_finite_bits(found)) [[unlikely]] {
        reject(entry->slot, to, true);
        continue;
      }
      to.values[entry->slot] = found + 0.0;
      to.present |= entry->bit;
      continue;
    }
    if (entry->act == Do::i64) {
      std::uint64_t raw;
      if (const Read read = read_varint(at, end, raw); read != Read::ok) [[unlikely]] {
        return stop(read);
      }
      to.values[entry->slot] = static_cast<double>(static_cast<std::int64_t>(raw));
      to.present |= entry->bit;
      continue;
    }
    if (entry->act == Do::sub) {
      std::uint64_t size;
      if (!length(at, end, size)) {
        return false;
      }
      around[depth++] = {node, end};
      node = nodes + entry->child;
      end = at + size;
      continue;
    }
    if (entry->act == Do::sub_telling) {
      std::uint64_t size;
      if (!length(at, end, size)) {
        return false;
      }
      const Node* const child = nodes + entry->child;
      const std::uint8_t* const last = at + size;
      if (child->condition.present) {
        bool met = met_first(child->condition, at, last);
        if (met) {
          decided = last;
        } else if (!meets(child->condition, at, last, met)) {
          return false;
        }
        if (!met) {
          at = last;
          continue;
        }
      }
      if (entry->shape >= 0) {
        if (current_.variant >= 0 && current_.variant != entry->shape) [[unlikely]] {
          return fail(Why::malformed);  // two variants of a oneof
        }
        current_.variant = entry->shape;
      }
      current_.sides |= child->sides;
      around[depth++] = {node, end};
      node = child;
      end = last;
      continue;
    }
    switch (entry->act) {
      case Do::time: {
        std::uint64_t raw;
        if (const Read read = read_varint(at, end, raw); read != Read::ok) [[unlikely]] {
          return stop(read);
        }
        std::int64_t time;
        if (!scale_time(static_cast<std::int64_t>(raw), entry->multiplier, entry->shift_ns, time))
            [[unlikely]] {
          reject(entry->slot, to, true);
          break;
        }
        integer_of(to, entry->slot) = time;
        to.present |= entry->bit;
        break;
      }
      case Do::value:
        next = at;
        if (!value(*entry, next, end, to)) {
          return false;
        }
        at = next;
        break;
      case Do::rows:
        next = at;
        if (!rows(*entry, next, end)) {
          return false;
        }
        at = next;
        break;
      case Do::list:
      case Do::records: {
        std::uint64_t size;
        next = at;
        if (!length(next, end, size)) {
          return false;
        }
        at = next + size;
        if (entry->act == Do::list ? !list(*entry, next, at)
                                   : !record(layout_->nodes[entry->child], entry->shape, next, at)) {
          return false;
        }
        break;
      }
      case Do::list_item:
        next = at;
        if (!list_item(*entry, next, end)) {
          return false;
        }
        at = next;
        break;
      case Do::key_text: {
        std::uint64_t size;
        if (!length(at, end, size)) {
          return false;
        }
        key_texts_[entry->slot] = {reinterpret_cast<const char*>(at), static_cast<std::size_t>(size)};
        at += size;
        break;
      }
      case Do::key_integer:
        next = at;
        if (!key_integer(*entry, next, end)) {
          return false;
        }
        at = next;
        break;
      case Do::restart: {
        std::uint64_t raw;
        if (const Read read = read_varint(at, end, raw); read != Read::ok) [[unlikely]] {
          return stop(read);
        }
        current_.restart = raw != 0;
        break;
      }
      case Do::control:
        next = at;
        if (!control(tag, next, end)) {
          return false;
        }
        at = next;
        break;
      default:
        if (tag < 8) [[unlikely]] {
          return fail(Why::malformed);  // field number 0
        }
        if (end == decided && node->condition.present && tag == node->condition.tag) [[unlikely]] {
          return fail(Why::twice);
        }
        if ((tag & 7) == 1 && end - at >= 8) {
          at += 8;
          break;
        }
        if ((tag & 7) == 0) {
          if (const Read read = skip_varint(at, end, frame_end_); read != Read::ok) [[unlikely]] {
            return stop(read);
          }
          break;
        }
        next = at;
        if (const Read read = skip_field(tag, next, end); read != Read::ok) [[unlikely]] {
          return stop(read);
        }
        at = next;
        break;
    }
  }
}

/// Constants of a message, and what its missing fields mean.
void Decoder::fill_in(const Node& node, Record& to) const noexcept {
  const std::uint32_t missing = node.preset_mask & ~(to.present | current_.gone);
  if (missing == 0) {
    return;
  }
  for (const Preset& preset : node.presets) {
    if ((missing >> preset.slot & 1u) != 0) {
      to.values[preset.slot] = preset.value;
    }
  }
  to.present |= missing;
}

/// Whether a message's own field says that it counts: the last one does, as
/// everywhere in protobuf.
bool Decoder::meets(const Condition& condition, const std::uint8_t* at, const std::uint8_t* end,
                    bool& met) noexcept {
  met = condition.by_default;
  while (at != end) {
    std::uint32_t tag = *at;
    // Doubles and integers of short tags, which most of a candle is.
    if (tag != condition.tag && tag >= 8 && tag < 0x80 && (tag & 7) <= 1) [[likely]] {
      ++at;
      if ((tag & 7) == 1) {
        if (end - at < 8) [[unlikely]] {
          return fail(Why::truncated);
        }
        at += 8;
      } else if (const Read read = skip_varint(at, end, frame_end_); read != Read::ok) [[unlikely]] {
        return fail(read == Read::truncated ? Why::truncated : Why::malformed);
      }
      continue;
    }
    const std::uint8_t* next = at;
    Read read = read_tag(next, end, tag);
    if (read == Read::ok && tag != condition.tag) {
      read = skip_field(tag, next, end);
    } else if (read == Read::ok && (tag & 7) == 2) {
      std::uint64_t size;
      if (!length(next, end, size)) {
        return false;
      }
      met = says(condition, {reinterpret_cast<const char*>(next), static_cast<std::size_t>(size)});
      next += size;
    } else if (read == Read::ok) {
      Number number;
      read = read_number(condition.type, next, end, number);
      met = number.kind == Number::Kind::integer &&
            std::find(condition.integers.begin(), condition.integers.end(), number.integer) !=
                condition.integers.end();
    }
    if (read != Read::ok) {
      return fail(read == Read::truncated ? Why::truncated : Why::malformed);
    }
    at = next;
  }
  return true;
}

/// A value in any treatment but the plainest.
bool Decoder::value(const Entry& entry, const std::uint8_t*& at, const std::uint8_t* end,
                    Record& to) noexcept {
  Number number;
  const std::uint8_t* const before = at;
  if (const Read read = read_number(entry.type, at, end, number); read != Read::ok) {
    return fail(read == Read::truncated ? Why::truncated : Why::malformed);
  }
  const bool empty = entry.type == Type::decimal && *before == 0;
  if (empty || (entry.has_absent && is_absent(number, entry.absent))) {
    reject(entry.slot, to, false);
    return true;
  }
  if (entry.form == Form::time || entry.form == Form::integer) {
    std::int64_t found;
    if (!integer_from(number, entry, found)) {
      reject(entry.slot, to, true);
      return true;
    }
    integer_of(to, entry.slot) = found;
  } else {
    const double found = double_from(number, entry);
    if (!packed::is_finite(found)) {
      reject(entry.slot, to, true);
      return true;
    }
    to.values[entry.slot] = found;
  }
  to.present |= entry.bit;
  return true;
}

/// What came is not there after all: because the wire says so, or because no
/// record can hold it.
void Decoder::reject(std::uint8_t slot, Record& to, bool counted) noexcept {
  const std::uint32_t bit = 1u << slot;
  to.present &= ~bit;
  current_.gone |= bit;
  rejected_ += counted;
  if (slot < kSlots) {
    to.values[slot] = packed::kNan;
  } else {
    integer_of(to, slot) = kAbsentInt;
  }
}

bool Decoder::key_integer(const Entry& entry, const std::uint8_t*& at, const std::uint8_t* end) noexcept {
  Number number;
  if (const Read read = read_number(entry.type, at, end, number); read != Read::ok) {
    return fail(read == Read::truncated ? Why::truncated : Why::malformed);
  }
  const KeyPart& part = layout_->keys[entry.slot];
  key_bits_[entry.slot] = (static_cast<std::uint64_t>(number.integer) & part.mask) << part.shift;
  return true;
}

bool Decoder::control(std::uint32_t tag, const std::uint8_t*& at, const std::uint8_t* end) {
  const std::uint8_t* first = at;
  if ((tag & 7) == 2) {
    std::uint64_t size;
    if (!length(at, end, size)) {
      return false;
    }
    first = at;
    at += size;
  } else if (const Read read = skip_field(tag, at, end); read != Read::ok) {
    return fail(read == Read::truncated ? Why::truncated : Why::malformed);
  }
  if (in_record_) {
    current_.control = true;
  } else {
    block_->control.push_back(
        {static_cast<std::uint32_t>(first - frame_), static_cast<std::uint32_t>(at - frame_)});
  }
  return true;
}

}  // namespace dragoman::protobuf

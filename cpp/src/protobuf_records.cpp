#include <algorithm>
#include <bit>
#include <charconv>

#include "dragoman/protobuf_decoder.hpp"
#include "packed_read.hpp"
#include "protobuf_convert.hpp"

/// A record from its message to the block, and what is remembered when the frame turned out right.
namespace dragoman::protobuf {
namespace {

/// Copy the members whose presence bits are in `bits`.
void lay_over(Record& to, const Record& from, std::uint32_t bits) noexcept {
  for (std::uint32_t left = bits; left != 0; left &= left - 1) {
    const auto bit = static_cast<std::uint8_t>(std::countr_zero(left));
    if (bit < kSlots) {
      to.values[bit] = from.values[bit];
    } else {
      integer_of(to, bit) = integer_of(const_cast<Record&>(from), bit);
    }
  }
}

}  // namespace

bool Decoder::long_length(const std::uint8_t*& at, const std::uint8_t* end, std::uint64_t& size) noexcept {
  const Read read = read_varint(at, end, size);
  if (read != Read::ok) [[unlikely]] {
    return fail(read == Read::truncated ? Why::truncated : Why::malformed);
  }
  return within(size, at, end);
}

bool Decoder::record(const Node& node, std::int16_t shape, const std::uint8_t* at, const std::uint8_t* end) {
  ++packets_;
  if (record_count_ >= layout_->max_records) [[unlikely]] {
    return fail(Why::malformed);
  }
  if (record_count_ == block_->record_capacity()) [[unlikely]] {
    return fail(Why::no_room);
  }
  Record& made = records_[record_count_];
  packed::copy_pieces(made, layout_->blank);
  const std::uint32_t around = current_.gone;  // all that counts of the messages around it
  current_ = {};
  current_.sides = node.sides;
  current_.placed = rows_placed_.size();
  for (std::size_t i = 0; i < layout_->keys.size(); ++i) {
    key_bits_[i] = 0;
    key_texts_[i] = {reinterpret_cast<const char*>(frame_), 0};
  }
  in_record_ = true;
  const bool right = message(node, at, end, made) && finish_record(made, shape, at, end);
  in_record_ = false;
  current_.gone = around;
  return right;
}

bool Decoder::finish_record(Record& record, std::int16_t shape, const std::uint8_t* at,
                            const std::uint8_t* end) {
  const auto begin = static_cast<std::uint32_t>(at - frame_);
  const std::int16_t index = current_.variant >= 0 ? current_.variant : shape;
  if (index < 0 || current_.control) {
    block_->control.push_back({begin, static_cast<std::uint32_t>(end - frame_)});
  }
  if (index < 0) {
    ++unknown_;
    return true;
  }
  const Shape& made = layout_->shapes[static_cast<std::size_t>(index)];
  record.kind = made.kind;
  record.mode = made.mode;
  record.flags = made.flags;
  record.layout = static_cast<std::uint32_t>(index);
  record.source = begin;
  record.ts_recv = ts_recv_;
  record.level_begin = static_cast<std::uint32_t>(level_count_);
  const bool placed = layout_->places != 0 && current_.sides != 0;
  if (placed ? !reserve_places() : current_.sides != 0 && !finish_depth(record, made.kind)) {
    return false;
  }
  Pending pending{.gone = current_.gone & ~record.present,
                  .known = -1,
                  .text = 0,
                  .text_size = 0,
                  .placed = current_.placed,
                  .placed_end = rows_placed_.size(),
                  .depth = placed,
                  .restart = current_.restart};
  if (!finish_key(record, pending)) {
    return false;
  }
  pending_.push_back(pending);
  ++record_count_;
  return true;
}

/// Compose the key and look for its instrument. A text that nobody bound must be what its type says.
bool Decoder::finish_key(Record& record, Pending& pending) {
  const std::vector<KeyPart>& parts = layout_->keys;
  switch (layout_->key_how) {
    case KeyHow::none:
      record.key = kAbsentInt;
      return true;
    case KeyHow::integer: {
      std::uint64_t bits = 0;
      for (std::size_t i = 0; i < parts.size(); ++i) {
        bits |= key_bits_[i];
      }
      record.key = static_cast<std::int64_t>(bits);
      break;
    }
    case KeyHow::text:
      pending.text =
          static_cast<std::size_t>(reinterpret_cast<const std::uint8_t*>(key_texts_[0].data()) - frame_);
      pending.text_size = key_texts_[0].size();
      break;
    case KeyHow::composed:
      pending.text = composed_.size();
      for (std::size_t i = 0; i < parts.size(); ++i) {
        if (i != 0) {
          composed_.push_back('|');
        }
        if (parts[i].text) {
          composed_.append(key_texts_[i]);
        } else {
          char digits[24];
          const auto written =
              std::to_chars(digits, digits + sizeof digits, static_cast<std::int64_t>(key_bits_[i]));
          composed_.append(digits, written.ptr);
        }
      }
      pending.text_size = composed_.size() - pending.text;
      break;
  }
  pending.known = layout_->key_how == KeyHow::integer ? find(pending, record.key) : find_in_order(pending);
  if (pending.known >= 0) [[likely]] {
    const Known& known = known_[static_cast<std::size_t>(pending.known)];
    record.key = known.number;
    record.instrument = known.instrument;
    return true;
  }
  if (layout_->key_how != KeyHow::integer) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].utf8 && !is_utf8(key_texts_[i])) {
        return fail(Why::malformed);
      }
    }
    record.key = TextMap::number_of(text_of(pending));
  }
  return true;
}

std::string_view Decoder::text_of(const Pending& pending) const noexcept {
  const char* const from =
      layout_->key_how == KeyHow::composed ? composed_.data() : reinterpret_cast<const char*>(frame_);
  return {from + pending.text, pending.text_size};
}

std::int32_t Decoder::find(const Pending& pending, std::int64_t key) const noexcept {
  const std::int32_t* const found =
      layout_->key_how == KeyHow::integer ? integers_.find(key) : texts_.find(text_of(pending));
  return found != nullptr ? *found : -1;
}

/// Look for the record's text where the record of the same place in the last frame had its own: most senders
/// keep to an order. After one that does not, the rest of the frame is not tried.
[[gnu::always_inline]] inline std::int32_t Decoder::find_in_order(const Pending& pending) {
  if (record_count_ >= hints_.size()) [[unlikely]] {
    hints_.resize(std::max<std::size_t>(2 * hints_.size(), 64));
  }
  const std::int32_t* const found = texts_.find(text_of(pending), hints_[record_count_], in_order_);
  return found != nullptr ? *found : -1;
}

/// The whole frame is right: finish its records, remember them, count them.
void Decoder::commit() {
  const bool has_key = layout_->key_how != KeyHow::none;
  const std::uint32_t shared = layout_->root_is_record ? 0 : shared_.present;
  std::uint64_t unbound = 0;
  std::size_t used = 0;  // levels, where rows say their place
  for (std::size_t i = 0; i < record_count_; ++i) {
    Record& record = records_[i];
    const Pending& pending = pending_[i];
    if (const std::uint32_t bits = shared & ~(record.present | pending.gone); bits != 0) {
      lay_over(record, shared_, bits);
      record.present |= bits;
    }
    record.changed = record.present;
    unbound += has_key && record.instrument == kUnbound;
    if (layout_->merge) {
      merge(record, pending);
    }
    if (layout_->places != 0) {
      place(record, pending, used);
    }
  }
  if (layout_->places != 0) {
    level_count_ = used;
  }
  if (record_count_ != 0) {
    records_[record_count_ - 1].flags |= kFlagLast;
  }
  counters_.records += record_count_;
  counters_.packets += packets_;
  counters_.unknown_packets += unknown_;
  counters_.unbound += unbound;
  counters_.rejected_values += rejected_;
  counters_.control += block_->control.size() - unknown_;
  BatchView& view = block_->view;
  view.records = records_;
  view.record_count = record_count_;
  view.levels = block_->levels();
  view.level_count = level_count_;
  view.errors = unknown_;
}

/// Lay a record over the last one of its instrument, and keep the result.
void Decoder::merge(Record& record, const Pending& pending) {
  // An earlier record of this frame may have been the first of the instrument.
  std::int32_t index = pending.known >= 0 ? pending.known : find(pending, record.key);
  const bool first = index < 0 || known_[static_cast<std::size_t>(index)].merged < 0;
  if (first) {
    if (merged_.size() >= kMaxMerged || pending.text_size > kMaxKey) {
      ++counters_.table_full;
      return;
    }
    if (index < 0) {
      index = static_cast<std::int32_t>(known_.size());
      known_.push_back({record.key, kUnbound, -1});
      if (layout_->key_how == KeyHow::integer) {
        integers_.put(record.key, index);
      } else {
        texts_.put(text_of(pending), index);
      }
    }
    known_[static_cast<std::size_t>(index)].merged = static_cast<std::int32_t>(merged_.size());
    merged_.push_back(record);
    return;
  }
  Record& last = merged_[static_cast<std::size_t>(known_[static_cast<std::size_t>(index)].merged)];
  if (!layout_->merge_shapes && record.layout != last.layout) {
    packed::copy_pieces(last, record);
    return;
  }
  const std::uint32_t kept = last.present & ~(record.present | pending.gone);
  lay_over(record, last, kept);
  record.present |= kept;
  record.mode = std::max(record.mode, last.mode);
  packed::copy_pieces(last, record);
  record.flags |= kFlagMerged;
}

void Decoder::bind(std::int64_t key, std::int32_t instrument) {
  if (const std::int32_t* const found = integers_.find(key); found != nullptr) {
    return set_instrument(*found, instrument);
  }
  integers_.put(key, static_cast<std::int32_t>(known_.size()));
  known_.push_back({key, instrument, -1});
}

void Decoder::bind_text(std::string_view text, std::int32_t instrument) {
  if (const std::int32_t* const found = texts_.find(text); found != nullptr) {
    return set_instrument(*found, instrument);
  }
  texts_.put(text, static_cast<std::int32_t>(known_.size()));
  known_.push_back({TextMap::number_of(text), instrument, -1});
}

void Decoder::unbind(std::int64_t key) {
  if (const std::int32_t* const found = integers_.find(key); found != nullptr) {
    set_instrument(*found, kUnbound);
  }
}

void Decoder::unbind_text(std::string_view text) {
  if (const std::int32_t* const found = texts_.find(text); found != nullptr) {
    set_instrument(*found, kUnbound);
  }
}

void Decoder::set_instrument(std::int32_t known, std::int32_t instrument) noexcept {
  known_[static_cast<std::size_t>(known)].instrument = instrument;
}

}  // namespace dragoman::protobuf

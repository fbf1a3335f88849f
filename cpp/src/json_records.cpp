#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "dragoman/json_decoder.hpp"
#include "json_scan.hpp"
#include "msgpack_scan.hpp"
#include "packed_levels.hpp"
#include "packed_read.hpp"

/// From the values found in a message to its record and levels.
namespace dragoman::json {
namespace {

using packed::copy_pieces;
using packed::kNan;

constexpr std::int64_t Record::* kIntegers[] = {&Record::ts_event, &Record::last_trade_time,
                                                &Record::sequence, &Record::prev_sequence};
constexpr int kFirstInteger = 24;

std::string_view cut(std::string_view text, const std::string& until) {
  return until.empty() ? text : text.substr(0, text.find_first_of(until));
}

}  // namespace

Record& Decoder::next_record(Block& out) {
  if (record_ == records_end_) [[unlikely]] {
    const auto used = static_cast<std::size_t>(record_ - out.records());
    out.extend_records(used);
    record_ = out.records() + used;
    records_end_ = out.records() + out.record_capacity();
  }
  return *record_;
}

/// Find who a record is about. False where the message does not say it.
/// @param text  becomes the key where that is a text
[[gnu::always_inline]] inline bool Decoder::name(const MessageLayout& layout, Who& who,
                                                 std::string_view& text) {
  if (layout.plain_key) [[likely]] {
    const std::uint16_t slot = layout.key_slots[0];
    const Capture& capture = found_.captures[slot];
    if (found_.types[slot] == Type::text && capture.size - 1 < RecentNames::kMostBytes) [[likely]] {
      const RecentNames::Name* const known = names_.find(RecentNames::Words::of(capture.at, capture.size));
      if (known != nullptr) [[likely]] {
        text = {reinterpret_cast<const char*>(capture.at), capture.size};
        who = {known->number, known->instrument};
        return true;
      }
    }
  }
  return find_name(layout, who, text);
}

bool Decoder::find_name(const MessageLayout& layout, Who& who, std::string_view& text) {
  std::int64_t key = kAbsentInt;
  if (!find_key(layout, key, text)) {
    return false;
  }
  const std::int32_t* const bound = layout.number_key ? bindings_.find(key) : texts_.find_numbered(text, key);
  who = {key, bound != nullptr ? *bound : kUnbound};
  counters_.unbound += bound == nullptr;
  if (bound != nullptr && layout.plain_key && text.size() <= RecentNames::kMostBytes) {
    const Capture& capture = found_.captures[layout.key_slots[0]];
    if (found_.types[layout.key_slots[0]] == Type::text) {  // as it stands there
      names_.keep(RecentNames::Words::of(capture.at, capture.size), *bound, key);
    }
  }
  return true;
}

/// Find what names the instrument: a number becomes `key`, a text `text`. False where the message does not
/// say it, or not in valid text.
bool Decoder::find_key(const MessageLayout& layout, std::int64_t& key, std::string_view& text) {
  if (layout.number_key) {
    const std::uint16_t slot = layout.key_slots[0];
    return to_integer(found_.types[slot], found_.captures[slot], scratch_, key);
  }
  const bool composed = layout.key_slots.size() > 1;
  if (composed) {
    key_.clear();
  }
  for (std::size_t i = 0; i < layout.key_slots.size(); ++i) {
    const std::uint16_t slot = layout.key_slots[i];
    const Type type = found_.types[slot];
    Token token{};
    std::int64_t number = 0;
    if (type == Type::integer && packed_integer(found_.captures[slot].at, number)) {
      scratch_ = std::to_string(number);
      text = scratch_;
    } else if (token_of(type, found_.captures[slot], scratch_, token)) {
      text = cut(token.view(), layout.until);
    } else {
      return false;
    }
    if (composed) {
      key_ += i == 0 ? "" : layout.join;
      key_ += text;
    }
  }
  text = composed ? std::string_view(key_) : text;
  return !text.empty() && valid_utf8(text);
}

/// Read the usual numbers and texts straight into the record; false where the general way must look.
[[gnu::always_inline]] inline bool Decoder::run_short(const Op& op, Type type, const Capture& capture,
                                                      Record& record) const noexcept {
  if (type == Type::number && capture.digits != 0 && op.plain) [[likely]] {
    const int places = static_cast<int>(ShortNumber::decimals(capture.digits)) + op.exponent;
    if (places <= 22) [[likely]] {
      record.values[op.to] = static_cast<double>(ShortNumber::mantissa(capture.digits)) / kPowers[places];
      return true;
    }
  }
  const unsigned kind = static_cast<unsigned>(type) - static_cast<unsigned>(Type::number);
  if (kind > 1 || op.listed) [[unlikely]] {
    return false;
  }
  if (op.how == OpHow::slot) {
    std::uint64_t mantissa;
    unsigned decimals;
    if (capture.size - 1 > 7 || !read_sized(capture.at, capture.size, mantissa, decimals)) [[unlikely]] {
      return false;
    }
    const int places = static_cast<int>(decimals) + op.exponent;
    if (places > 22) [[unlikely]] {
      return false;
    }
    record.values[op.to] = static_cast<double>(mantissa) / kPowers[places];
    return true;
  }
  std::int64_t value;
  if (op.how == OpHow::rfc3339) {
    if (kind == 0 || !read_usual_time(capture, day_, value)) [[unlikely]] {
      return false;
    }
  } else if (capture.size - 1 > 15 || !read_whole(capture.at, capture.size, value) ||
             __builtin_mul_overflow(value, op.unit_ns, &value)) [[unlikely]] {
    return false;
  }
  if (__builtin_add_overflow(value, op.add, &value) || value == kAbsentInt) [[unlikely]] {
    return false;
  }
  record.*kIntegers[op.to] = value;
  return true;
}

/// Read a field whatever it is. @return 1 where it is there, 0 where the message says that it is not, -1
/// where it cannot be read
int Decoder::run_long(const Op& op, Type type, const Capture& capture, Record& record) {
  if (type == Type::null || (type == Type::text && capture.size == 0)) {
    return 0;
  }
  if (!op.absent.empty()) {
    Token token{};
    std::int64_t number = 0;
    const auto lists = [&](std::string_view text) {
      return std::find(op.absent.begin(), op.absent.end(), text) != op.absent.end();
    };
    if (type == Type::integer && packed_integer(capture.at, number)) {
      if (lists(std::to_string(number))) {
        return 0;
      }
    } else if (token_of(type, capture, scratch_, token) && lists(token.view())) {
      return 0;
    }
  }
  if (op.how == OpHow::slot) {
    return to_number(type, capture, op.exponent, scratch_, record.values[op.to]) ? 1 : -1;
  }
  std::int64_t value = 0;
  const bool good = (op.how == OpHow::integer ? to_integer(type, capture, scratch_, value)
                                              : to_time(type, capture, op.unit_ns, scratch_, day_, value)) &&
                    !__builtin_add_overflow(value, op.add, &value) && value != kAbsentInt;
  if (good) {
    record.*kIntegers[op.to] = value;
  }
  return good ? 1 : -1;
}

/// Read a field. @param came  bits of what is there now  @param gone  of what says that it is not
[[gnu::always_inline]] inline void Decoder::run_op(const Op& op, Record& record, std::uint32_t& came,
                                                   std::uint32_t& gone) {
  const Type type = found_.types[op.slot];
  const Capture& capture = found_.captures[op.slot];
  if (run_short(op, type, capture, record)) [[likely]] {
    came |= op.bit;
  } else if (type != Type::absent) {
    const int what = run_long(op, type, capture, record);
    (what > 0 ? came : gone) |= op.bit;
    counters_.rejected_values += what < 0;
  }
}

/// The place of an instrument's merged record, made where it is new; -1 where
/// no more fit.
std::int32_t Decoder::merged_of(const MessageLayout& layout, std::int64_t key, std::string_view text) {
  const std::int32_t* const found = layout.number_key ? merged_index_.find(key) : merged_texts_.find(text);
  if (found != nullptr) [[likely]] {
    return *found;
  }
  if (merged_.size() >= kMaxMerged || text.size() > kMaxKey) {
    ++counters_.table_full;
    return -1;
  }
  const auto index = static_cast<std::int32_t>(merged_.size());
  merged_.push_back(layout.prototype);
  merged_seen_.push_back(0);
  merged_rows_.resize(merged_rows_.size() + layout_->merged_rows, kUnknownRow);
  if (layout.number_key) {
    merged_index_.put(key, index);
  } else {
    merged_texts_.put(text, index);
  }
  return index;
}

namespace {

/// Take back what a record held before and does no more.
[[gnu::always_inline]] inline void forget(Record& record, std::uint32_t gone) noexcept {
  if (gone != 0) [[unlikely]] {
    for (std::uint32_t bits = gone; bits != 0; bits &= bits - 1) {
      const int bit = __builtin_ctz(bits);
      if (bit < static_cast<int>(kSlots)) {
        record.values[bit] = kNan;
      } else {
        record.*kIntegers[bit - kFirstInteger] = kAbsentInt;
      }
    }
  }
}

}  // namespace

/// Make the record of a layout whose key is one text and whose values are all fields.
void Decoder::emit_fields(const MessageLayout& layout, const std::uint8_t* begin, const Mold* filled,
                          Block& out) {
  ++counters_.packets;
  Who who;
  std::string_view text;
  if (!name(layout, who, text)) [[unlikely]] {
    ++counters_.malformed;
    ++out.view.errors;
    return;
  }
  Record& record = next_record(out);
  std::uint32_t came = 0;
  std::uint32_t gone = 0;
  if (filled != nullptr) {
    came = filled->bits;
    for (const Op* const op : filled->rest) {
      run_op(*op, record, came, gone);
    }
  } else {
    copy_pieces(record, layout.prototype);
    for (const Op& op : layout.ops) {
      run_op(op, record, came, gone);
    }
  }
  record.ts_recv = out.view.ts_recv;
  record.key = who.key;
  record.instrument = who.instrument;
  record.level_begin = level_base_;
  record.level_count = 0;
  record.source = static_cast<std::uint32_t>(begin - frame_.get());
  record.changed = came;
  record.present = came;
  forget(record, gone);
  ++record_;
}

template <class Scanner>
void Decoder::emit(Scanner& scanner, const MessageLayout& layout, const std::uint8_t* begin,
                   const Mold* filled, Block& out) {
  if (layout.only_fields) {
    emit_fields(layout, begin, filled, out);
    return;
  }
  ++counters_.packets;
  Who who;
  std::string_view text;
  if (layout.has_key && !name(layout, who, text)) [[unlikely]] {
    ++counters_.malformed;
    ++out.view.errors;
    return;
  }
  const std::int32_t merged = layout.merge ? merged_of(layout, who.key, text) : -1;
  if (merged >= 0 && layout.base) {
    merged_seen_[static_cast<std::size_t>(merged)] = 0;
    std::fill_n(merged_rows_.begin() + std::ptrdiff_t{merged} * layout_->merged_rows, layout_->merged_rows,
                kUnknownRow);
  }
  const bool over = merged >= 0 && merged_seen_[static_cast<std::size_t>(merged)] != 0;
  Record& record = next_record(out);
  std::uint32_t came = 0;
  std::uint32_t gone = 0;
  if (filled != nullptr) {
    came = filled->bits;
    for (const Op* const op : filled->rest) {
      run_op(*op, record, came, gone);
    }
  } else {
    copy_pieces(record, over ? merged_[static_cast<std::size_t>(merged)] : layout.prototype);
    for (const Op& op : layout.ops) {
      run_op(op, record, came, gone);
    }
  }

  Depth depth;
  bool snapshot = !layout.deltas;
  if (!layout.tables.empty() || !layout.rows.empty()) {
    if (!layout.snapshot_when.empty()) {
      snapshot = holds(layout.snapshot_when[0]);
    }
    if (!layout.rows.empty()) {
      levels_.level = out.levels() + level_base_;
      depth.begin = level_base_;
      put_rows(layout,
               merged >= 0 ? merged_rows_.data() + std::ptrdiff_t{merged} * layout_->merged_rows : nullptr,
               depth);
      arrange(layout, snapshot, depth);
    } else {
      depth = collect(scanner, layout, snapshot);
    }
    counters_.rejected_values += levels_.rejected;
    levels_.rejected = 0;
  } else {
    levels_.level = out.levels() + level_base_;
    depth.begin = level_base_;
  }
  if (snapshot && depth.any && layout.fill != 0) {
    const Level* const all = out.levels();
    const Level* const first = all + depth.begin + layout.clears;
    const std::uint32_t empty = packed::fill_top(layout.fill, std::min(first, all + depth.asks),
                                                 all + depth.asks, levels_.level, record);
    came |= layout.fill & ~empty;
    gone |= layout.fill & empty;
  }

  record.ts_recv = out.view.ts_recv;
  record.key = who.key;
  record.instrument = who.instrument;
  record.level_begin = depth.begin;
  record.level_count = levels_.count() - depth.begin;
  record.source = static_cast<std::uint32_t>(begin - frame_.get());
  record.changed = came;
  std::uint16_t flags = layout.prototype.flags;
  if (depth.any || (!snapshot && !layout.tables.empty())) {
    flags |= static_cast<std::uint16_t>(kFlagDepth | (snapshot && !layout.clears ? kFlagSnapshot : 0));
  }
  if (layout.has_aggressor) {
    const auto any = [&](const std::vector<Value>& values) {
      return std::any_of(values.begin(), values.end(),
                         [&](const Value& value) { return equals(value, layout.aggressor); });
    };
    flags |= static_cast<std::uint16_t>(any(layout.buyer)    ? kFlagBuyer
                                        : any(layout.seller) ? kFlagSeller
                                                             : 0);
  }
  record.flags = flags;
  Kind kind = layout.prototype.kind;
  if (!layout.snapshot_when.empty()) {
    kind = snapshot ? Kind::depth_snapshot : Kind::depth_delta;
  }
  record.kind = kind;
  if (over) {
    record.present = (record.present & ~gone) | came;
    record.mode = std::max(record.mode, layout.prototype.mode);
    record.layout = layout.prototype.layout;
  } else {
    record.present = came;
  }
  forget(record, gone);
  if (merged >= 0) {
    copy_pieces(merged_[static_cast<std::size_t>(merged)], record);
    merged_seen_[static_cast<std::size_t>(merged)] = 1;
    record.flags |= over ? kFlagMerged : 0;
  }
  level_base_ = levels_.count();
  ++record_;
}

template void Decoder::emit(JsonScanner&, const MessageLayout&, const std::uint8_t*, const Mold*, Block&);
template void Decoder::emit(MsgpackScanner&, const MessageLayout&, const std::uint8_t*, const Mold*, Block&);

}  // namespace dragoman::json

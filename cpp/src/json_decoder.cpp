#include "dragoman/json_decoder.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "json_quotes.hpp"
#include "json_scan.hpp"
#include "msgpack_scan.hpp"
#include "packed_read.hpp"

/// From a frame to its messages and elements, and which layout each takes.
namespace dragoman::json {
namespace {

inline bool same(const Value& value, const Capture& capture) noexcept {
  return capture.size == value.text.size() && (load8(capture.at) & value.mask) == value.word &&
         (capture.size <= 8 || std::memcmp(capture.at, value.text.data(), capture.size) == 0);
}

constexpr std::size_t kClearedAtOnce = 16;
constexpr unsigned kLeastPlaces = 8;  ///< bits of the smallest table of known keys

}  // namespace

Decoder::Decoder(std::shared_ptr<const Layout> layout) : layout_(std::move(layout)) {
  // One slot more, for the values of strangers; and whole words, so that scopes are cleared by words.
  found_.types.resize(layout_->slots + kClearedAtOnce, Type::absent);
  found_.captures.resize(layout_->slots + std::size_t{1});
  found_.runs.resize(kMaxEager);
  found_.shift = 64 - kLeastPlaces;
  while ((std::size_t{1} << (64 - found_.shift)) < 8 * layout_->keys.size()) {
    --found_.shift;
  }
  found_.known.resize(std::size_t{1} << (64 - found_.shift),
                      {0, kNone, kNone, Found::Known::place_of(kNone, kNone)});
  for (std::size_t i = 0; i < layout_->nodes.size(); ++i) {
    const Node& node = layout_->nodes[i];
    const auto is_plain = [&](const Key& key) {  // as it is written, and no longer than the padding
      const std::string_view text(layout_->texts.data() + key.text, key.size);
      return text.size() <= kPadding - 8 && std::none_of(text.begin(), text.end(), [](char c) {
               return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
             });
    };
    for (std::uint16_t k = node.keys; k < node.keys + node.key_count; ++k) {
      const Key& key = layout_->keys[k];
      std::size_t at = found_.place(key.word, static_cast<std::uint16_t>(i));
      at = found_.known[at].owner() == kNone ? at : at ^ 1;
      if (found_.known[at].owner() == kNone && is_plain(key)) {  // otherwise it is looked up each time
        found_.known[at] = Found::known_of(*layout_, static_cast<std::uint16_t>(i), k);
      }
    }
  }
}

Found::Known Found::known_of(const Layout& layout, std::uint16_t owner, std::uint16_t key) noexcept {
  if (key == kNone) {
    return {0, kNone, layout.slots, Known::place_of(owner, kNone)};
  }
  const std::uint16_t below = layout.keys[key].node;
  if (owner >= layout.row_nodes) {
    return {layout.keys[key].word, key, below, Known::place_of(owner, kNone)};
  }
  const Node& node = layout.nodes[below];
  return {layout.keys[key].word, key, node.slot, Known::place_of(owner, node.plain ? kNone : below)};
}

void Decoder::decode(const std::uint8_t* frame, std::size_t size, std::int64_t ts_recv, Block& out) {
  out.view = {};
  out.view.ts_recv = ts_recv;
  out.control.clear();
  ++counters_.frames;
  if (size > std::numeric_limits<std::uint32_t>::max() - kPadding) [[unlikely]] {
    ++counters_.malformed;
    out.view.errors = 1;
    return;
  }
  if (size + kPadding > frame_capacity_) [[unlikely]] {
    frame_capacity_ = std::max(size + kPadding, 2 * frame_capacity_);
    frame_ = std::make_unique_for_overwrite<std::uint8_t[]>(frame_capacity_);
    quotes_ = std::make_unique_for_overwrite<std::uint8_t[]>(quote_bytes(frame_capacity_));
  }
  if (size != 0) {  // an empty frame may have no address
    std::memcpy(frame_.get(), frame, size);
  }
  std::memset(frame_.get() + size, 0, kPadding);
  record_ = out.records();
  records_end_ = record_ + out.record_capacity();
  level_base_ = 0;
  levels_ = {&out, out.levels(), out.levels() + out.level_capacity(), 0};
  if (layout_->msgpack) {
    decode_frame<MsgpackScanner>(size, out);
  } else {
    decode_frame<JsonScanner>(size, out);
  }
  BatchView& view = out.view;
  view.records = out.records();
  view.record_count = static_cast<std::size_t>(record_ - out.records());
  view.levels = out.levels();
  view.level_count = level_base_;
  counters_.records += view.record_count;
  if (view.record_count != 0) {
    record_[-1].flags |= kFlagLast;
  }
}

template <class Scanner>
void Decoder::decode_frame(std::size_t size, Block& out) {
  const std::uint8_t* const base = frame_.get();
  const std::uint8_t* const end = base + size;
  Scanner scanner(*layout_, found_, levels_, scratch_, day_, base, end);
  misses_ = 0;
  const std::uint8_t* const first = Scanner::space(base);
  const std::uint8_t* stop = nullptr;
  if (size != 0 && Scanner::is_array(first) && !layout_->positional) {
    const Counters before = counters_;
    // What merging remembers cannot be taken back, so the frame is looked through before it begins.
    const bool sound = !layout_->merges || scanner.skip(first, 0) != nullptr;
    if (sound) {
      stop = scanner.elements(first, [&](const std::uint8_t* at, const Capture&, Type) {
        const Message message = read(scanner, at, 1, size, out);
        if (message.end != nullptr) [[likely]] {
          finish(scanner, message, at, message.end, out);
        }
        return message.end;
      });
    }
    stop = stop == nullptr ? nullptr : Scanner::space(stop);
    if (stop == end) [[likely]] {
      return;
    }
    counters_ = before;
    record_ = out.records();
    level_base_ = 0;
    out.control.clear();
  } else {
    for (const std::string& plain : layout_->plain) {
      if (plain.size() == size && std::memcmp(plain.data(), base, size) == 0) {
        ++counters_.control;
        to_control(base, end, out);
        return;
      }
    }
    const Message message = read(scanner, first, 0, size, out);
    stop = message.end == nullptr ? nullptr : Scanner::space(message.end);
    if (stop == end) [[likely]] {
      finish(scanner, message, base, end, out);
      return;
    }
  }
  ++(stop == nullptr && scanner.failed >= end ? counters_.truncated : counters_.malformed);
  out.view.errors = 1;
}

/// Find the values of a message: by the mold it fits, or key by key.
template <class Scanner>
[[gnu::always_inline]] inline Decoder::Message Decoder::read(Scanner& scanner, const std::uint8_t* at,
                                                             unsigned depth, std::size_t size, Block& out) {
  const Scope& root = layout_->scopes[0];
  clear(root);
  bool teaches = false;
  if constexpr (Scanner::reads_text) {
    if (misses_ < Molds::kMostMisses) {
      Mold* misfit = nullptr;
      for (Mold& mold : molds_.all) {
        if (!mold.begins(at)) {
          continue;
        }
        Record& record = next_record(out);
        if (mold.direct) {
          packed::copy_pieces(record, layout_->layouts[mold.layout].prototype);
        }
        const std::uint8_t* const behind = scanner.fit(mold, root.root, at, depth, record);
        if (behind != nullptr) [[likely]] {
          molds_.hit(mold);
          misses_ = 0;
          return {at, behind, mold.layout, mold.direct ? &mold : nullptr, false, depth};
        }
        misfit = &mold;
        clear(root);
      }
      if (misfit != nullptr) {
        molds_.misfit(*misfit);
      }
      ++misses_;
      teaches = molds_.miss();
    }
    scanner.know_quotes(size, quotes_.get());
    return {at, scanner.message(root.root, at, depth), kNone, nullptr, teaches, depth};
  }
  return {at, scanner.value(root.root, at, depth), kNone, nullptr, teaches, depth};
}

/// Whether all conditions hold that look no deeper.
bool Decoder::all_hold(const MessageLayout& layout, unsigned depth) {
  for (const Condition& condition : layout.when) {
    if (condition.depth > depth) {
      continue;
    }
    const Type type = condition.plain ? found_.types[condition.slots[0]] : Type::other;
    if (type == Type::text) [[likely]] {
      if (!same(condition.values[0], found_.captures[condition.slots[0]])) {
        return false;
      }
    } else if (type == Type::absent || !holds(condition)) {
      return false;
    }
  }
  return true;
}

/// Find the layout of a message or element whose values were found; kNone where there is none.
[[gnu::always_inline]] inline std::uint16_t Decoder::choose(const Scope& here) {
  for (const Candidate& candidate : here.candidates) {
    if (candidate.slot != kNone) {
      const Type type = found_.types[candidate.slot];
      if (type == Type::absent) {
        continue;
      }
      if (type == Type::text) [[likely]] {
        const Capture& capture = found_.captures[candidate.slot];
        if (capture.size != candidate.size || (load8(capture.at) & candidate.mask) != candidate.word) {
          continue;
        }
        if (candidate.alone) [[likely]] {
          return candidate.layout;
        }
      }
    }
    if (all_hold(layout_->layouts[candidate.layout], here.depth)) {
      return candidate.layout;
    }
  }
  return kNone;
}

/// Do with a message what its layout says.
/// @param begin, end  the bytes that are the message's
template <class Scanner>
[[gnu::always_inline]] inline void Decoder::finish(Scanner& scanner, const Message& message,
                                                   const std::uint8_t* begin, const std::uint8_t* end,
                                                   Block& out) {
  const Scope& root = layout_->scopes[0];
  const std::uint16_t chosen = message.layout != kNone ? message.layout : choose(root);
  const MessageLayout* const layout = chosen != kNone ? &layout_->layouts[chosen] : nullptr;
  if (layout != nullptr && layout->whole && layout->only_fields) [[likely]] {
    emit_fields(*layout, begin, message.filled, out);
  } else {
    carry_out(scanner, 0, chosen, begin, end, message.filled, out);
  }
  if constexpr (Scanner::reads_text) {
    if (message.teaches) [[unlikely]] {
      Mold mold = scanner.mold_of(root.root, message.at, message.depth);
      if (!mold.steps.empty()) {
        if (chosen != kNone && mold.decides(*layout_)) {
          mold.layout = chosen;
          mold.aim(*layout_);
        }
        molds_.keep(std::move(mold));
        misses_ = 0;
      }
    }
  }
}

void Decoder::clear(const Scope& scope) noexcept {
  // In whole words: what lies behind are slots of scopes that are cleared when their turn comes.
  for (std::size_t slot = scope.first; slot < scope.end; slot += kClearedAtOnce) {
    std::memset(found_.types.data() + slot, 0, kClearedAtOnce);
  }
  levels_.rejected = 0;
  levels_.level = levels_.block->levels() + level_base_;
}

void Decoder::to_control(const std::uint8_t* begin, const std::uint8_t* end, Block& out) {
  out.control.push_back(
      {static_cast<std::uint32_t>(begin - frame_.get()), static_cast<std::uint32_t>(end - frame_.get())});
}

/// Do with a message or element what its layout says.
template <class Scanner>
void Decoder::carry_out(Scanner& scanner, std::uint16_t scope, std::uint16_t chosen,
                        const std::uint8_t* begin, const std::uint8_t* end, const Mold* filled, Block& out) {
  const Scope& here = layout_->scopes[scope];
  if (chosen != kNone) {
    const MessageLayout& layout = layout_->layouts[chosen];
    if (layout.chain.size() > here.depth + 1u) {
      descend(scanner, layout.chain[here.depth + 1u], begin, end, out);
      return;
    }
    if (!layout.control) {
      emit(scanner, layout, begin, filled, out);
      return;
    }
  }
  ++counters_.control;
  to_control(begin, end, out);
}

/// Go through the elements that a scope is about.
template <class Scanner>
void Decoder::descend(Scanner& scanner, std::uint16_t scope, const std::uint8_t* begin,
                      const std::uint8_t* end, Block& out) {
  const Scope& inner = layout_->scopes[scope];
  const Type type = found_.types[inner.container];
  if (type != Type::array && type != Type::object) {
    ++counters_.control;
    to_control(begin, end, out);
    return;
  }
  const std::uint8_t* const container = found_.captures[inner.container].at;
  scanner.elements(container, [&](const std::uint8_t* at, const Capture& key, Type key_type) {
    clear(inner);
    const std::uint8_t* const behind = scanner.value(inner.root, at, 0);
    if (inner.key != kNone && key.at != nullptr) {
      found_.types[inner.key] = key_type;
      found_.captures[inner.key] = key;
    }
    carry_out(scanner, scope, choose(inner), at, behind, nullptr, out);
    return behind;
  });
}

bool Decoder::equals(const Value& value, std::uint16_t slot) {
  const Type type = found_.types[slot];
  const Capture& capture = found_.captures[slot];
  switch (value.how) {
    case Value::How::boolean:
      return type == (value.yes ? Type::yes : Type::no);
    case Value::How::integer: {
      if (type == Type::integer) {
        std::int64_t found = 0;
        return packed_integer(capture.at, found) && found == value.integer;
      }
      return type == Type::number && same(value, capture);
    }
    case Value::How::text:
      if (type == Type::text) [[likely]] {
        return same(value, capture);
      }
      if (type == Type::escaped_text) {
        Token token{};
        return token_of(type, capture, scratch_, token) && token.view() == value.text;
      }
      return false;
  }
  return false;
}

bool Decoder::holds(const Condition& condition) {
  if (condition.how == Condition::How::equals) {
    for (const std::uint16_t slot : condition.slots) {
      for (const Value& value : condition.values) {
        if (equals(value, slot)) {
          return true;
        }
      }
    }
    return false;
  }
  for (const std::uint16_t slot : condition.slots) {
    if (found_.types[slot] > Type::null) {
      return condition.how == Condition::How::has;
    }
  }
  return condition.how == Condition::How::absent;
}

}  // namespace dragoman::json

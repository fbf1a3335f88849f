#include <algorithm>

#include "dragoman/protobuf_decoder.hpp"
#include "packed_read.hpp"

/// Depth whose rows say their place: a row changes what it tells of that place and nothing else, so an
/// instrument's places are kept from message to message. Each record then carries all of them: rows of a
/// difference cannot be told apart by price, since what stood at a place has moved to the next one.
namespace dragoman::protobuf {

/// Keep a row for `place`. One without a place, or beyond the last, says nothing.
bool Decoder::add_placed(const Entry& entry, std::size_t side, const Row& row) {
  if ((row.seen >> kPositionCell & 1) == 0) {
    return true;
  }
  const double at = row.cells[kPositionCell];
  const std::size_t first = 3 * side;
  const double price = row.cells[first];
  const double quantity = row.cells[first + 1];
  const double orders = row.cells[first + 2];
  if (!(at >= 0.0 && at < static_cast<double>(entry.max_rows)) || !packed::is_finite(price) ||
      !packed::is_finite(quantity) || !(orders >= 0.0 && orders <= 4294967295.0)) [[unlikely]] {
    ++rejected_;
    return true;
  }
  if (current_.rows[side]++ >= entry.max_rows) [[unlikely]] {
    return fail(Why::malformed);
  }
  rows_placed_.push_back({price, quantity, static_cast<std::uint32_t>(orders), static_cast<std::uint16_t>(at),
                          static_cast<std::uint8_t>(side), static_cast<std::uint8_t>(row.seen >> first & 7)});
  return true;
}

/// Room for all places of both sides, and for emptying them first.
bool Decoder::reserve_places() {
  level_count_ += 2 + std::size_t{2} * layout_->places;
  return level_count_ <= block_->level_capacity() || fail(Why::no_room);
}

/// Change the places of the record's instrument, and show all of them.
void Decoder::place(Record& record, const Pending& pending, std::size_t& used) {
  record.level_begin = static_cast<std::uint32_t>(used);
  const std::int32_t index = pending.depth ? find(pending, record.key) : -1;
  const std::int32_t kept = index < 0 ? -1 : known_[static_cast<std::size_t>(index)].merged;
  if (kept < 0) {
    return;  // no depth in it, or the table is full
  }
  if (places_.size() < merged_.size()) {
    places_.resize(merged_.size());
  }
  Places& places = places_[static_cast<std::size_t>(kept)];
  if (pending.restart) {
    for (std::vector<Level>& side : places) {
      side.clear();
    }
  }
  for (std::size_t i = pending.placed; i < pending.placed_end; ++i) {
    const Placed& row = rows_placed_[i];
    std::vector<Level>& side = places[row.side];
    if (side.size() <= row.place) {
      side.resize(row.place + std::size_t{1},
                  {0.0, 0.0, 0, static_cast<Side>(row.side), Action::add, 255, 255});
    }
    Level& level = side[row.place];
    level.price = (row.told & 1) != 0 ? row.price : level.price;
    level.quantity = (row.told & 2) != 0 ? row.quantity : level.quantity;
    level.orders = (row.told & 4) != 0 ? row.orders : level.orders;
  }
  Level* const begin = block_->levels() + used;
  Level* out = begin;
  if (!pending.restart) {
    *out++ = {0.0, 0.0, 0, Side::bid, Action::clear, 255, 255};
    *out++ = {0.0, 0.0, 0, Side::ask, Action::clear, 255, 255};
  }
  for (std::size_t side = 0; side < 2; ++side) {
    out = show(record, side, places[side], out);
  }
  record.kind = pending.restart ? Kind::depth_snapshot : Kind::depth_delta;
  record.flags |= kFlagDepth | (pending.restart ? kFlagSnapshot : 0);
  record.level_count = static_cast<std::uint32_t>(out - begin);
  used += record.level_count;
}

/// Copy what a side's places hold, and the best of it into the record. Places without quantity are empty.
Level* Decoder::show(Record& record, std::size_t side, const std::vector<Level>& places,
                     Level* out) noexcept {
  Level* const first = out;
  out = std::copy_if(places.begin(), places.end(), out,
                     [](const Level& level) { return level.quantity != 0.0; });
  const Slot slots[] = {side == 0 ? Slot::bid_price : Slot::ask_price,
                        side == 0 ? Slot::bid_quantity : Slot::ask_quantity};
  for (std::size_t i = 0; i < 2; ++i) {
    const auto slot = static_cast<std::size_t>(slots[i]);
    const std::uint32_t bit = 1u << slot;
    if (out == first) {
      record.values[slot] = packed::kNan;
      record.present &= ~bit;
    } else {
      record.values[slot] = i == 0 ? first->price : first->quantity;
      record.present |= bit;
      record.changed |= bit;
    }
  }
  return out;
}

}  // namespace dragoman::protobuf

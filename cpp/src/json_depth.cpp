#include <algorithm>
#include <cmath>
#include <limits>

#include "dragoman/json_decoder.hpp"
#include "json_rows.hpp"
#include "json_scan.hpp"
#include "json_value.hpp"
#include "msgpack_scan.hpp"

/// The levels of one record: those of several tables together, those in fields of their own, and how a
/// snapshot differs from a delta.
namespace dragoman::json {

/// Bring the levels of a layout's tables together at the end of the block's,
/// bids first in a snapshot.
template <class Scanner>
Decoder::Depth Decoder::collect(Scanner& scanner, const MessageLayout& layout, bool snapshot) {
  Depth depth;
  std::uint32_t total = 0;
  std::uint32_t next = 0;
  bool tiled = true;
  for (const Table& table : layout.tables) {
    const Type type = found_.types[table.slot];
    if (type != Type::array) {
      counters_.rejected_values += type > Type::null;
      continue;
    }
    depth.any = true;
    if (table.eager == kNone) {
      continue;
    }
    const Found::Run& run = found_.runs[table.eager];
    levels_.rejected += run.rejected;
    if (run.count != 0) {
      tiled &= total == 0 || run.begin == next;
      next = run.begin + run.count;
      total += run.count;
    }
  }
  const std::uint32_t later = levels_.count();
  for (const Table& table : layout.tables) {
    if (table.eager == kNone && found_.types[table.slot] == Type::array) {
      scanner.rows(layout_->shapes[table.shape], found_.captures[table.slot].at, 0);
    }
  }
  Level* const all = levels_.block->levels();
  if (total == 0) {
    depth.begin = later;
  } else if (tiled && next == levels_.count()) {
    depth.begin = next - total;  // as they came: the usual case
  } else {
    sorted_.clear();
    for (const Table& table : layout.tables) {
      if (table.eager != kNone && found_.types[table.slot] == Type::array) {
        const Found::Run& run = found_.runs[table.eager];
        sorted_.insert(sorted_.end(), all + run.begin, all + run.begin + run.count);
      }
    }
    sorted_.insert(sorted_.end(), all + later, levels_.level);
    depth.begin = level_base_;
    levels_.level = std::copy(sorted_.begin(), sorted_.end(), all + level_base_);
  }
  if (depth.begin != level_base_) {  // levels of tables that this layout does
                                     // not want lie before
    levels_.level = std::copy(all + depth.begin, levels_.level, all + level_base_);
    depth.begin = level_base_;
  }
  arrange(layout, snapshot, depth);
  return depth;
}

/// Make a snapshot of levels that were read as a delta's.
void Decoder::arrange(const MessageLayout& layout, bool snapshot, Depth& depth) {
  if (!snapshot) {
    depth.asks = levels_.count();
    return;
  }
  Level* const all = levels_.block->levels();
  Level* const begin = all + depth.begin;
  Level* to = begin;
  bool mixed = false;
  for (Level* from = begin; from != levels_.level; ++from) {
    if (from->quantity == 0.0) {
      continue;
    }
    mixed |= to != begin && from->side < to[-1].side;
    *to = *from;
    to->action = Action::add;
    ++to;
  }
  levels_.level = to;
  if (mixed) {
    sorted_.assign(begin, to);
    Level* next = std::copy_if(sorted_.begin(), sorted_.end(), begin,
                               [](const Level& level) { return level.side == Side::bid; });
    std::copy_if(sorted_.begin(), sorted_.end(), next,
                 [](const Level& level) { return level.side == Side::ask; });
  }
  if (layout.clears) {
    levels_.room();
    Level* const first = levels_.block->levels() + depth.begin;
    std::copy_backward(first, levels_.level, levels_.level + 1);
    *first = {0.0, 0.0, 0, layout.clear_side, Action::clear, 255, 255};
    ++levels_.level;
  }
  Level* const first = levels_.block->levels() + depth.begin;
  depth.asks =
      static_cast<std::uint32_t>(std::find_if(first, levels_.level,
                                              [](const Level& level) {
                                                return level.side == Side::ask && level.action == Action::add;
                                              }) -
                                 levels_.block->levels());
}

/// Put the levels that stand in fields of their own.
void Decoder::put_rows(const MessageLayout& layout, Level* merged, Depth& depth) {
  for (const Row& row : layout.rows) {
    Level fresh = kUnknownRow;
    Level& level = merged != nullptr ? merged[row.merged] : fresh;
    level.side = row.side;
    const auto read = [&](std::uint16_t slot, int exponent, double& value, std::uint8_t& decimals) {
      const Type type = found_.types[slot];
      if (type == Type::absent) {
        return;
      }
      depth.any = true;
      const Capture& capture = found_.captures[slot];
      value = std::numeric_limits<double>::quiet_NaN();
      if (type == Type::null || (type == Type::text && capture.size == 0)) {
        return;
      }
      if (!to_level(type, capture, exponent, row.exact, scratch_, value, decimals)) {
        value = std::numeric_limits<double>::quiet_NaN();
        ++levels_.rejected;
      }
    };
    read(row.price, row.exponent, level.price, level.price_decimals);
    read(row.quantity, 0, level.quantity, level.quantity_decimals);
    if (row.orders != kNone && found_.types[row.orders] > Type::null) {
      std::int64_t orders = 0;
      const bool good = to_integer(found_.types[row.orders], found_.captures[row.orders], scratch_, orders) &&
                        orders >= 0 && orders <= std::numeric_limits<std::uint32_t>::max();
      level.orders = good ? static_cast<std::uint32_t>(orders) : 0;
      levels_.rejected += !good;
    }
    if (level.price > 0.0 && !std::isnan(level.quantity)) {
      put_level(levels_, level.price, level.quantity, level.orders, level.side, level.price_decimals,
                level.quantity_decimals);
    }
  }
}

template Decoder::Depth Decoder::collect(JsonScanner&, const MessageLayout&, bool);
template Decoder::Depth Decoder::collect(MsgpackScanner&, const MessageLayout&, bool);

}  // namespace dragoman::json

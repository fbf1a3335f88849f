#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "dragoman/protobuf_decoder.hpp"
#include "packed_read.hpp"
#include "protobuf_convert.hpp"

/// Depth: rows as messages, rows as parallel lists, and how both become the levels of a record.
namespace dragoman::protobuf {
namespace {

constexpr std::uint8_t kDecimalsUnknown = 255;

/// A row of steps may be read beyond its end by less than this before it is seen that it went wrong.
constexpr std::ptrdiff_t kSlack = 64;

/// Bytes of a row and its length, which is one byte.
constexpr std::ptrdiff_t kMostRow = 128;

/// What follows price and quantity in a level: orders, side, action and decimals as one word, as stores of
/// single bytes would have to be waited for.
constexpr std::uint64_t tail_of(std::size_t side) noexcept {
  return static_cast<std::uint64_t>(side) << 32 | std::uint64_t{0xFFFF} << 48;
}

/// Read the cell of a step, 0 where it did not come. False for a varint that is longer than most.
/// @param finite  becomes NaN where the cell is a number that is not
[[gnu::always_inline]] inline bool straight_cell(const Step& step, const std::uint8_t*& at, double& cell,
                                                 double& finite) noexcept {
  cell = 0.0;
  if (*at != step.tag) {
    return true;
  }
  ++at;
  if (step.f64) {
    cell = load_bits<double>(at) + 0.0;
    finite += cell * 0.0;
    at += 8;
    return true;
  }
  std::uint64_t raw;
  if (!read_varint_of_8(at, raw)) [[unlikely]] {
    return false;
  }
  cell = static_cast<double>(static_cast<std::int64_t>(raw));
  return true;
}

/// The byte by which a further row of a table is told; one that no byte equals where the tag has several,
/// which are then left to who reads the message.
constexpr std::uint32_t tag_of_more(const Entry& entry) noexcept {
  return entry.tag < 0x80 ? entry.tag : 0x100;
}

/// Where the next row of a side goes, and the last one that has room.
struct Space {
  Level* next;
  Level* end;
};

/// Keep a row of finite numbers unless it says nothing. False without room.
[[gnu::always_inline]] inline bool keep(Space& space, double price, double quantity, std::uint64_t tail,
                                        bool drop_zero) noexcept {
  if ((std::bit_cast<std::uint64_t>(price) | std::bit_cast<std::uint64_t>(quantity)) == 0 && drop_zero) {
    return true;
  }
  if (space.next == space.end) [[unlikely]] {
    return false;
  }
  auto* const to = reinterpret_cast<unsigned char*>(space.next++);
  std::memcpy(to, &price, sizeof price);
  std::memcpy(to + 8, &quantity, sizeof quantity);
  std::memcpy(to + 16, &tail, sizeof tail);
  return true;
}

/// Best first; among equal prices some order that does not depend on the wire's.
bool better(const Level& one, const Level& other, bool bids) noexcept {
  if (one.price != other.price) {
    return bids ? one.price > other.price : one.price < other.price;
  }
  return one.quantity != other.quantity ? one.quantity > other.quantity : one.orders > other.orders;
}

bool orders_from(double cell, std::uint32_t& orders) noexcept {
  const bool fits = cell >= 0.0 && cell <= static_cast<double>(std::numeric_limits<std::uint32_t>::max());
  orders = fits ? static_cast<std::uint32_t>(cell) : 0;
  return fits;
}

}  // namespace

/// Rows of one table, as many as follow one another: each a bid, an ask, or both. `at` stands behind the
/// first row's tag, and in the end behind the last row.
bool Decoder::rows(const Entry& entry, const std::uint8_t*& at, const std::uint8_t* end) {
  const Node& node = layout_->nodes[entry.child];
  const std::uint32_t more = tag_of_more(entry);
  const std::uint8_t* next = at;
  if (node.step_count != 0 && (node.step_count == 4 ? straight_rows<4>(entry, node, next, end)
                                                    : straight_rows<2>(entry, node, next, end))) [[likely]] {
    at = next;
    return true;
  }
  for (;;) {
    std::uint64_t size;
    if (!length(next, end, size)) {
      return false;
    }
    Row row;
    for (double& cell : row.cells) {
      cell = 0.0;
    }
    std::memset(row.decimals, kDecimalsUnknown, sizeof row.decimals);
    row.seen = 0;
    const std::uint8_t* const last = next + size;
    if (!flat_cells(node, next, last, row)) {
      return false;
    }
    if (((entry.sides & 1) != 0 && !add_row(entry, 0, row)) ||
        ((entry.sides & 2) != 0 && !add_row(entry, 1, row))) {
      return false;
    }
    next = last;
    if (next == end || *next != more) {
      break;
    }
    ++next;
  }
  at = next;
  return true;
}

/// Rows whose fields stand in the order of their tags, as senders write them. False where one does not, or
/// where anything else about it is unusual: then `at` stands before the length of the first such row, and the
/// ones before it are kept.
template <std::size_t kCount>
bool Decoder::straight_rows(const Entry& entry, const Node& node, const std::uint8_t*& at,
                            const std::uint8_t* end) noexcept {
  constexpr std::size_t kSides = kCount / 2;
  const std::size_t first_side = kSides == 2 || entry.sides == 1 ? 0 : 1;
  std::array<Space, kSides> spaces;
  Sources from[kSides];
  for (std::size_t i = 0; i < kSides; ++i) {
    std::vector<Level>& rows = sides_[first_side + i];
    const std::size_t count = current_.rows[first_side + i];
    spaces[i].next = rows.data() + count;
    // Another table of the side may have filled more than this one may.
    spaces[i].end = rows.data() + std::max(count, std::min<std::size_t>(rows.size(), entry.max_rows));
    from[i] = node.sources[first_side + i];
  }
  const bool drop_zero = entry.drop_zero;
  const std::uint32_t tag = tag_of_more(entry);
  const std::uint8_t* next = at;
  bool right = false;
  // A row that cannot be longer than what is left has its last cells in front of the slack.
  for (const std::uint8_t* const frame_end = frame_end_; frame_end - next >= kMostRow + kSlack;) {
    const std::ptrdiff_t size = *next;
    const std::uint8_t* cell = next + 1;
    if (size > kMostRow - 1 || size > end - cell) {
      break;
    }
    const std::uint8_t* const last = cell + size;
    double cells[kCount];
    bool known = true;
    double finite = 0.0;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((known &= straight_cell(node.steps[I], cell, cells[I], finite)), ...);
    }(std::make_index_sequence<kCount>{});
    if (!known || cell != last || finite != 0.0) [[unlikely]] {
      break;
    }
    const std::array<Space, kSides> before = spaces;
    bool room = true;
    for (std::size_t i = 0; i < kSides; ++i) {
      room &=
          keep(spaces[i], cells[from[i].price], cells[from[i].quantity], tail_of(first_side + i), drop_zero);
    }
    if (!room) [[unlikely]] {
      spaces = before;
      break;
    }
    next = last;
    if (next == end || *next != tag) {
      right = true;
      break;
    }
    ++next;
  }
  at = next;
  for (std::size_t i = 0; i < kSides; ++i) {
    const std::size_t side = first_side + i;
    const auto count = static_cast<std::uint32_t>(spaces[i].next - sides_[side].data());
    if (count != current_.rows[side]) {
      current_.rows[side] = count;
      current_.sorted |= static_cast<std::uint8_t>((entry.sort ? 1u : 0u) << side);
    }
  }
  return right;
}

[[gnu::always_inline]] inline bool Decoder::add_row(const Entry& entry, std::size_t side, const Row& row) {
  if (entry.placed) [[unlikely]] {
    return add_placed(entry, side, row);
  }
  const std::size_t first = 3 * side;
  // One word for what follows the quantity: stores of single bytes would have to be waited for.
  std::uint64_t tail = static_cast<std::uint64_t>(side) << 32 | std::uint64_t{0xFFFF} << 48;
  if (!entry.plain) {
    std::uint32_t orders = 0;
    if (row.cells[first + 2] != 0.0 && !orders_from(row.cells[first + 2], orders)) [[unlikely]] {
      ++rejected_;
    }
    tail = orders | static_cast<std::uint64_t>(side) << 32 |
           static_cast<std::uint64_t>(row.decimals[first]) << 48 |
           static_cast<std::uint64_t>(row.decimals[first + 1]) << 56;
  }
  return add_level(entry, side, row.cells[first], row.cells[first + 1], tail);
}

[[gnu::always_inline]] inline bool Decoder::flat_cells(const Node& node, const std::uint8_t* at,
                                                       const std::uint8_t* end, Row& row) noexcept {
  while (at != end) {
    std::uint32_t tag = *at;
    const Entry* entry;
    if (tag < 0x80) [[likely]] {
      ++at;
      entry = &node.entries[node.direct[tag]];
    } else {
      if (const Read read = read_tag(at, end, tag); read != Read::ok) {
        return fail(read == Read::truncated ? Why::truncated : Why::malformed);
      }
      entry = &entry_of(node, tag);
    }
    if (entry->act == Do::cell_f64) {
      if (end - at < 8) [[unlikely]] {
        return fail(Why::truncated);
      }
      row.cells[entry->slot] = load_bits<double>(at) + 0.0;
      at += 8;
    } else if (entry->act == Do::cell_i64) {
      std::uint64_t raw;
      if (const Read read = read_varint(at, end, raw); read != Read::ok) [[unlikely]] {
        return fail(read == Read::truncated ? Why::truncated : Why::malformed);
      }
      row.cells[entry->slot] = static_cast<double>(static_cast<std::int64_t>(raw));
    } else {
      const std::uint8_t* next = at;
      if (!other_cell(*entry, tag, next, end, row)) {
        return false;
      }
      at = next;
    }
  }
  return true;
}

bool Decoder::cells(const Node& node, const std::uint8_t* at, const std::uint8_t* end, Row& row) noexcept {
  return flat_cells(node, at, end, row);
}

/// A field of a row that is no plain number.
bool Decoder::other_cell(const Entry& entry, std::uint32_t tag, const std::uint8_t*& at,
                         const std::uint8_t* end, Row& row) noexcept {
  if (entry.act == Do::cell) {
    return cell(entry, at, end, row);
  }
  if (entry.act == Do::cell_sub) {
    std::uint64_t size;
    row.seen |= entry.cells;
    if (!length(at, end, size) || !cells(layout_->nodes[entry.child], at, at + size, row)) {
      return false;
    }
    at += size;
    return true;
  }
  if (tag < 8) {
    return fail(Why::malformed);
  }
  const Read read = skip_field(tag, at, end);
  return read == Read::ok || fail(read == Read::truncated ? Why::truncated : Why::malformed);
}

bool Decoder::cell(const Entry& entry, const std::uint8_t*& at, const std::uint8_t* end, Row& row) noexcept {
  Number number;
  const std::uint8_t* const before = at;
  if (const Read read = read_number(entry.type, at, end, number); read != Read::ok) {
    return fail(read == Read::truncated ? Why::truncated : Why::malformed);
  }
  const bool empty = entry.type == Type::decimal && *before == 0;
  row.seen |= static_cast<std::uint8_t>(1u << entry.slot);
  row.cells[entry.slot] = empty ? 0.0 : double_from(number, entry);
  row.decimals[entry.slot] = number.decimals;
  return true;
}

/// Keep a level of the record. Rows that say nothing are padding, unreadable ones are counted and left out.
[[gnu::always_inline]] inline bool Decoder::add_level(const Entry& entry, std::size_t side, double price,
                                                      double quantity, std::uint64_t tail) {
  if (!(packed::is_finite(price) & packed::is_finite(quantity))) [[unlikely]] {
    ++rejected_;
    return true;
  }
  if (static_cast<int>(entry.drop_zero) & static_cast<int>(price == 0.0) &
      static_cast<int>(quantity == 0.0)) {
    return true;
  }
  std::uint32_t& count = current_.rows[side];
  if (count >= entry.max_rows) [[unlikely]] {
    return fail(Why::malformed);
  }
  std::vector<Level>& rows = sides_[side];
  if (count == rows.size()) [[unlikely]] {
    rows.resize(std::max<std::size_t>(2 * rows.size(), 32));
  }
  Level& level = rows[count++];
  level.price = price;
  level.quantity = quantity;
  static_assert(offsetof(Level, orders) == 16 && offsetof(Level, side) == 20 &&
                offsetof(Level, action) == 21 && offsetof(Level, price_decimals) == 22 &&
                static_cast<int>(Action::add) == 0);
  std::memcpy(reinterpret_cast<char*>(&level) + 16, &tail, sizeof tail);
  current_.sorted |= static_cast<std::uint8_t>((entry.sort ? 1u : 0u) << side);
  return true;
}

/// Where the next number of a list goes; null beyond the rows a side may have.
double* Decoder::cell_of_list(const Entry& entry) {
  const std::size_t side = entry.slot / 3u;
  if (current_.lists[side] == nullptr) {
    current_.lists[side] = &entry;
    for (std::size_t i = 0; i < 3; ++i) {
      columns_[3 * side + i].clear();
    }
  }
  std::vector<double>& column = columns_[entry.slot];
  if (column.size() >= entry.max_rows) {
    (void)fail(Why::malformed);
    return nullptr;
  }
  return &column.emplace_back(0.0);
}

bool Decoder::list(const Entry& entry, const std::uint8_t* at, const std::uint8_t* end) {
  while (at != end) {
    if (!list_item(entry, at, end)) {
      return false;
    }
  }
  return true;
}

bool Decoder::list_item(const Entry& entry, const std::uint8_t*& at, const std::uint8_t* end) {
  double* const to = cell_of_list(entry);
  if (to == nullptr) {
    return false;
  }
  Row row;
  row.seen = 0;
  if (entry.type == Type::decimal && at == end) {
    return fail(Why::truncated);
  }
  if (!cell(entry, at, end, row)) {
    return false;
  }
  *to = row.cells[entry.slot];
  return true;
}

/// The lists of a side become its rows; lists of unequal length tell nothing.
bool Decoder::finish_lists(std::size_t side) {
  const Entry& entry = *current_.lists[side];
  const std::vector<double>* const columns = &columns_[3 * side];
  const std::size_t count = columns[0].size();
  if (columns[1].size() != count || (!columns[2].empty() && columns[2].size() != count)) {
    return fail(Why::malformed);
  }
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t orders = 0;
    if (!columns[2].empty() && !orders_from(columns[2][i], orders)) {
      ++rejected_;
    }
    const std::uint64_t tail = orders | static_cast<std::uint64_t>(side) << 32 | std::uint64_t{0xFFFF} << 48;
    if (!add_level(entry, side, columns[0][i], columns[1][i], tail)) {
      return false;
    }
  }
  return true;
}

/// The best level of a side, null for none, where no field told it.
[[gnu::always_inline]] inline void Decoder::top_of(Record& record, std::size_t side,
                                                   const Level* best) noexcept {
  static_assert(Slot::bid_quantity == Slot{static_cast<int>(Slot::bid_price) + 1} &&
                Slot::ask_price == Slot{static_cast<int>(Slot::bid_price) + 2} &&
                Slot::ask_quantity == Slot{static_cast<int>(Slot::bid_price) + 3});
  const std::size_t price = static_cast<std::size_t>(Slot::bid_price) + 2 * side;
  const std::uint32_t untold = 3u << price & ~(record.present | current_.gone);
  if (best == nullptr) {
    current_.gone |= untold;
    return;
  }
  record.present |= untold;
  if ((untold >> price & 1) != 0) {
    record.values[price] = best->price;
  }
  if ((untold >> price & 2) != 0) {
    record.values[price + 1] = best->quantity;
  }
}

/// The record's levels go to the block, bids first; its top of book is filled where no field told it.
bool Decoder::finish_depth(Record& record, Kind kind) {
  for (std::size_t side = 0; side < 2; ++side) {
    if (current_.lists[side] != nullptr && !finish_lists(side)) {
      return false;
    }
    if ((current_.sorted >> side & 1) != 0) {
      const auto first = sides_[side].begin();
      std::sort(first, first + current_.rows[side],
                [side](const Level& one, const Level& other) { return better(one, other, side == 0); });
    }
  }
  const bool delta = kind == Kind::depth_delta;
  const bool one_sided = current_.sides != 3;
  const bool clears = one_sided && !delta;
  const std::size_t wanted = std::size_t{current_.rows[0]} + current_.rows[1] + clears;
  if (level_count_ + wanted > block_->level_capacity()) [[unlikely]] {
    level_count_ += wanted;
    return fail(Why::no_room);
  }
  Level* out = block_->levels() + level_count_;
  if (clears) {
    *out++ = {0.0, 0.0, 0, current_.sides == 1 ? Side::bid : Side::ask, Action::clear, 255, 255};
  }
  for (std::size_t side = 0; side < 2; ++side) {
    const Level* const rows = sides_[side].data();
    std::copy_n(rows, current_.rows[side], out);
    if (delta) {
      for (Level* level = out; level != out + current_.rows[side]; ++level) {
        level->action = level->quantity == 0.0 ? Action::remove : Action::update;
      }
    }
    out += current_.rows[side];
    if (!delta && (current_.sides >> side & 1) != 0) {
      top_of(record, side, current_.rows[side] != 0 ? rows : nullptr);
    }
  }
  record.level_count = static_cast<std::uint32_t>(wanted);
  level_count_ += wanted;
  record.flags |= kFlagDepth | (delta || one_sided ? 0 : kFlagSnapshot);
  return true;
}

}  // namespace dragoman::protobuf

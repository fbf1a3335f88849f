#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dragoman/decoder.hpp"
#include "dragoman/json_spec.hpp"
#include "dragoman/record.hpp"

/// A compiled stream of JSON or MessagePack: one tree of the paths that any layout asks for, per scope, and
/// for each layout what to do with the values found there.
namespace dragoman::json {

inline constexpr std::uint16_t kNone = 0xFFFF;
inline constexpr unsigned kMaxDepth = 64;
inline constexpr std::size_t kMaxSlots = 1024;
inline constexpr std::size_t kMaxEager = 32;
inline constexpr std::size_t kMaxRows = 64;
inline constexpr std::size_t kMaxTail = 8;

/// What stands at a path, once found. Above `literal` are the kinds of MessagePack.
enum class Type : std::uint8_t {
  absent,
  null,
  no,
  yes,
  number,        ///< a literal of JSON, as written
  text,          ///< between the quotes, no escapes
  escaped_text,  ///< between the quotes, with escapes
  object,
  array,
  integer,   ///< MessagePack, at the first byte of the value
  floating,  ///< MessagePack
  moment,    ///< MessagePack's timestamp extension: its payload
  other,     ///< MessagePack's other extensions
};

struct Capture {
  const std::uint8_t* at;
  std::uint32_t size;
  std::uint32_t digits =
      0;  ///< of a short number that was read when it was found (ShortNumber); 0: it was not
};

/// One key of an object, compared as the eight bytes that begin it, its closing quote included.
struct Key {
  std::uint64_t word;  ///< first bytes of `key"`
  std::uint64_t mask;  ///< of these, as many as there are
  std::uint64_t bare;  ///< first bytes of `key`, zero filled
  std::uint32_t text;  ///< offset in Layout::texts
  std::uint16_t size;  ///< without the quote
  std::uint16_t node;  ///< what stands under it
};

/// A place in the tree. Nodes without keys and items are leaves, or containers read later.
struct Node {
  std::uint16_t slot;  ///< its capture; those below it follow, up to `end`
  std::uint16_t end;
  std::uint16_t keys = 0;  ///< first of its keys in Layout::keys
  std::uint16_t key_count = 0;
  std::uint16_t table = 0;  ///< first of its hash table in Layout::table
  std::uint16_t table_mask = 0;
  std::uint16_t items = 0;  ///< first of its positions in Layout::items, by index
  std::uint16_t item_count = 0;
  std::uint16_t tails = 0;  ///< first of its positions from the end, the last first
  std::uint16_t tail_count = 0;
  std::uint16_t shape = kNone;  ///< rows of levels that are read at once
  std::uint16_t eager = kNone;  ///< and where it is noted which
  bool plain = true;            ///< nothing below it is asked for
};

struct Value {
  enum class How : std::uint8_t { text, integer, boolean };
  How how;
  bool yes;
  std::int64_t integer;
  std::string text;        ///< of an integer: as it is written
  std::uint64_t word = 0;  ///< its first eight bytes
  std::uint64_t mask = 0;
};

struct Condition {
  enum class How : std::uint8_t { equals, has, absent };
  How how;
  std::uint8_t depth;  ///< of the innermost scope it looks at
  bool plain = false;  ///< one path, one text
  std::vector<std::uint16_t> slots;
  std::vector<Value> values;
};

enum class OpHow : std::uint8_t { slot, time, rfc3339, integer };

/// One value of a record.
struct Op {
  OpHow how;
  std::uint8_t to;        ///< Slot, or 0..3 of the integer members; the presence bit is `bit`
  std::int16_t exponent;  ///< of ten that divides
  std::uint16_t slot;
  std::uint32_t bit;
  std::int64_t unit_ns;  ///< of a time; 0 for RFC 3339, 1 for an integer
  std::int64_t add;      ///< to an integer; to a time, in ns
  bool listed = false;   ///< `absent` says something
  bool plain = false;    ///< a number or text for a slot, not `listed`
  std::vector<std::string> absent;
};

/// How one row of levels is read.
struct Shape {
  Side side = Side::bid;
  bool by_row = false;   ///< each row says its side
  bool objects = false;  ///< rows are objects
  bool plain = false;    ///< rows are arrays that begin with price and quantity, without orders and side
  bool exact = true;
  std::int16_t exponent = 0;
  /// Positions of price, quantity, orders and side; or the node whose keys lead to parts 0..3.
  std::array<std::uint16_t, 4> at{kNone, kNone, kNone, kNone};
  std::uint16_t node = kNone;
  std::vector<std::string> bid;
  std::vector<std::string> ask;

  bool operator==(const Shape&) const = default;
};

struct Table {
  std::uint16_t slot;
  std::uint16_t shape;
  std::uint16_t eager;  ///< kNone: its rows are read when the layout is known
};

/// A level whose parts are fields of their own.
struct Row {
  Side side;
  bool exact;
  std::int16_t exponent;
  std::uint16_t price;
  std::uint16_t quantity;
  std::uint16_t orders;
  std::uint16_t merged;  ///< its place among an instrument's merged rows
};

struct MessageLayout {
  std::string name;
  Record prototype;
  std::vector<Condition> when;
  std::vector<Op> ops;
  std::uint32_t mask = 0;  ///< presence bits of all ops, and of `fill`
  std::vector<std::uint16_t> key_slots;
  std::string join;
  std::string until;
  bool has_key = false;
  bool number_key = false;
  bool plain_key = false;  ///< one text, all of it
  std::uint16_t scope = 0;
  std::vector<std::uint16_t> chain;  ///< scopes from the message to its own
  std::vector<Table> tables;         ///< those of bids first
  std::vector<Row> rows;             ///< likewise
  bool any_by_row = false;
  bool deltas = false;  ///< unless `snapshot_when` holds
  bool clears = false;  ///< a snapshot of one side only
  Side clear_side = Side::bid;
  std::uint32_t fill = 0;
  std::vector<Condition> snapshot_when;  ///< none or one
  bool has_aggressor = false;
  std::uint16_t aggressor = kNone;
  std::vector<Value> buyer;
  std::vector<Value> seller;
  bool only_fields = false;  ///< a plain key and fields, nothing else
  bool whole = false;        ///< it is about all of a message, and makes a record of it
  bool merge = false;
  bool base = false;
  bool control = false;
};

/// A layout that a message or element may take. The first of its conditions, where that compares one path
/// with one text, is kept here: mostly it says no.
struct Candidate {
  std::uint16_t layout;
  std::uint16_t slot = kNone;  ///< of the text; kNone: its conditions are looked at one by one
  bool alone = false;          ///< it has no other condition here, and this is all of the text
  std::uint32_t size = 0;
  std::uint64_t word = 0;  ///< first eight bytes
  std::uint64_t mask = 0;
};

/// The message, or what one `each` goes through.
struct Scope {
  std::uint16_t parent = kNone;
  std::uint16_t container = kNone;  ///< slot of what it goes through, in the parent
  std::uint16_t root = kNone;       ///< node of the message or element
  std::uint16_t first = 0;          ///< slots of its tree
  std::uint16_t end = 0;
  std::uint16_t key = kNone;  ///< slot of the entry's key
  std::uint8_t depth = 0;
  std::vector<Candidate> candidates;  ///< layouts that pass through it, in order
};

struct Layout final : FrameLayout {
  std::string name;
  bool msgpack = false;
  bool positional = false;
  bool merges = false;
  std::vector<std::string> plain;
  std::vector<Node> nodes;
  std::vector<Key> keys;
  std::vector<std::uint8_t> table;  ///< 1 + index among the node's keys, 0: free
  std::vector<std::uint16_t> items;
  std::vector<std::uint16_t> tails;
  std::string texts;
  std::vector<Shape> shapes;
  std::vector<Scope> scopes;
  std::vector<MessageLayout> layouts;
  std::uint16_t slots = 0;
  std::size_t row_nodes = 0;      ///< first of the nodes whose keys lead to parts of rows
  std::uint16_t merged_rows = 0;  ///< levels kept for each merged instrument

  [[nodiscard]] const std::string& stream_name() const noexcept override { return name; }
  [[nodiscard]] std::vector<std::string> packet_names() const override;
  [[nodiscard]] bool reads_text() const noexcept override { return !msgpack; }

  static std::uint64_t hash(std::uint64_t bare, std::size_t size) noexcept {
    const std::uint64_t mixed = (bare ^ (size << 56)) * 0x9E3779B97F4A7C15u;
    return mixed >> 40;
  }
};

/// Check and compile a description.
/// @throws std::invalid_argument naming the layout and the field, what was found and what was expected
std::shared_ptr<const Layout> compile(const StreamSpec& spec);

}  // namespace dragoman::json

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dragoman/decoder.hpp"
#include "dragoman/packed_layout.hpp"
#include "dragoman/protobuf_spec.hpp"
#include "dragoman/record.hpp"

/// The compiled form of a protobuf stream: what `compile` proves and the decoder runs.
///
/// Theory: each message of the tree becomes one *node*, an array of entries found by the field's whole tag
/// (number and wire type), which for numbers up to 15 is one byte and one load. A known number with another
/// wire type than declared is thereby unknown and skipped, as protobuf readers do. A map entry is a message
/// like any other. Nothing recurses but the tree itself, so the sender cannot choose the depth.
namespace dragoman::protobuf {

using packed::Divisor;

enum class Type : std::uint8_t {
  f64,
  f32,
  int32,
  int64,
  uint32,
  uint64,
  sint32,
  sint64,
  fixed32,
  fixed64,
  sfixed32,
  sfixed64,
  boolean,
  enumeration,
  text,
  bytes,
  decimal,
};

/// What to do with a field.
enum class Do : std::uint8_t {
  skip,         ///< nobody asked for it
  f64,          ///< a double into a slot, as it is
  i64,          ///< an int64 or uint64 varint into a slot, as it is
  time,         ///< an int64 varint of fixed unit into a time
  value,        ///< any value in any other treatment
  sub,          ///< a message of the same record
  sub_telling,  ///< likewise, which has a condition, or says a shape or depth by being there
  records,      ///< a message that makes a record
  rows,         ///< a message of one or two levels
  cell,         ///< a number of a row
  cell_f64,     ///< the same: a double as it is
  cell_i64,     ///< the same: an int64 varint as it is
  cell_sub,     ///< a message within a row
  list,         ///< packed numbers of one column
  list_item,    ///< one number of such a column
  key_text,     ///< a part of the instrument's key
  key_integer,  ///< likewise
  control,      ///< something Python wants to see
  restart,      ///< whether the positions of the record's book start anew
};

/// How a number becomes what a record holds.
enum class Form : std::uint8_t { plain, divided, rounded, time, integer };

/// Cells of a row: price, quantity and orders of the bid, then those of the ask.
inline constexpr std::size_t kCells = 6;

/// The cell behind them: which place of its side a row is for.
inline constexpr std::size_t kPositionCell = kCells;

struct Entry {
  Do act = Do::skip;
  Type type = Type::f64;
  Form form = Form::plain;
  std::uint8_t slot = 0;    ///< presence bit; for rows a cell; for keys a part
  std::uint8_t digits = 0;  ///< rounded
  bool has_absent : 1 = false;
  bool drop_zero : 1 = false;  ///< rows, lists
  bool sort : 1 = false;       ///< rows, lists
  bool plain : 1 = false;      ///< rows: no orders, and nothing written as text
  bool placed : 1 = false;     ///< rows: each says its place
  std::uint8_t sides = 0;      ///< rows, lists: bit 0 bids, bit 1 asks
  std::uint8_t cells = 0;      ///< cell_sub: bits of the cells in it, which are told by its being there
  std::int16_t shape = -1;     ///< sub, records
  std::uint16_t child = 0;     ///< node
  std::uint32_t tag = 0;
  std::uint32_t bit = 0;  ///< values: what `slot` is in `Record::present`
  std::uint32_t max_rows = 0;
  Divisor divisor;              ///< own divisor, or 10^digits
  std::int64_t multiplier = 1;  ///< times: ns per wire unit, 0: tell by magnitude
  std::int64_t shift_ns = 0;
  std::int64_t absent = 0;
};
static_assert(sizeof(Entry) == 64, "an entry is one cache line, and found by a shift");

/// A field of a message that decides whether the message counts.
struct Condition {
  bool present = false;
  bool by_default = false;  ///< what a missing field says
  Type type = Type::int64;
  std::uint32_t tag = 0;
  std::vector<std::int64_t> integers;
  std::vector<std::string> texts;
  /// The field with the one text that makes the message count, as it stands on the wire in at most eight
  /// bytes; no size where there is no such text, or the field is read for another reason as well.
  std::uint64_t wire = 0;
  std::uint64_t wire_mask = 0;
  std::uint8_t wire_size = 0;
};

struct Preset {
  std::uint8_t slot;
  double value;
};

/// A cell of a row that is a plain double or int64.
struct Step {
  std::uint8_t tag;
  bool f64;
};

/// Which steps of a row a side's level is made of.
struct Sources {
  std::uint32_t price;
  std::uint32_t quantity;
};

struct Node {
  std::array<std::uint8_t, 128> direct{};  ///< one-byte tag to entry, 0 is the one that skips
  std::vector<Entry> entries;
  std::vector<std::pair<std::uint32_t, std::uint8_t>> others;  ///< longer tags
  std::vector<Preset> presets;                                 ///< constants, and what missing fields mean
  std::uint32_t preset_mask = 0;
  std::uint8_t sides = 0;       ///< whose depth this message tells
  std::uint8_t step_count = 0;  ///< 2 or 4 in a row of nothing but plain cells
  std::array<Step, 4> steps{};  ///< its fields by tag, which is the order senders write them in
  std::array<Sources, 2> sources{};
  Condition condition;
};

struct Shape {
  std::string name;
  Kind kind = Kind::quote;
  Mode mode = Mode::none;
  std::uint16_t flags = 0;
};

struct KeyPart {
  bool text = false;
  bool utf8 = false;
  Type type = Type::int64;
  std::uint8_t shift = 0;
  std::uint64_t mask = 0;
};

/// What names the instrument of a record.
enum class KeyHow : std::uint8_t { none, integer, text, composed };

inline constexpr std::size_t kMaxKeyParts = 4;

/// Messages nest at most this deep in a layout; what a sender nests beyond it is skipped by its length.
inline constexpr std::size_t kMaxDepth = 16;

/// Immutable; shared by all decoders made from it.
struct Layout final : FrameLayout {
  [[nodiscard]] const std::string& stream_name() const noexcept override { return name; }
  [[nodiscard]] std::vector<std::string> packet_names() const override;

  std::string name;
  std::vector<Node> nodes;  ///< the root is the first
  std::vector<Shape> shapes;
  std::vector<KeyPart> keys;
  KeyHow key_how = KeyHow::none;
  Record blank;  ///< nothing present
  bool root_is_record = false;
  bool merge = false;
  std::uint32_t places = 0;  ///< of a side, where rows say theirs; 0: none do
  bool merge_shapes = true;  ///< also over a record of another shape
  std::int16_t root_shape = -1;
  std::size_t max_records = 0;
};

/// Compile a stream.
///
/// @throws std::invalid_argument naming the stream, the message, the field, what was found and what was
/// expected
std::shared_ptr<const Layout> compile(const StreamSpec& spec);

}  // namespace dragoman::protobuf

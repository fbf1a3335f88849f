#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dragoman/decoder.hpp"
#include "dragoman/packed_spec.hpp"
#include "dragoman/record.hpp"

/// The compiled form of a packed stream: what `compile` proves and the decoder runs.
///
/// Theory: each packet type becomes one flat struct. A *prototype* record carries every constant (kind, mode,
/// flags, presence mask, NaN in all slots), so decoding starts with one straight copy. Fields are sorted into
/// *groups* of one wire type and one treatment; a group is one tight loop over {source offset, destination
/// slot}. The divisor of scaled fields is chosen once per packet. All offsets are proved to lie inside the
/// packet's least size here, so one comparison of lengths is all the checking a packet of fixed shape needs
/// at run time.
namespace dragoman::packed {

enum class Wire : std::uint8_t { i8, u8, i16, u16, i32, u32, i64, u64, f32, f64, digits };

/// What a divisor is: as double for mantissas up to 2^53, as integer for the exact path beyond.
struct Divisor {
  double value = 1.0;
  std::uint64_t exact = 1;
};

/// A compiled `Part`: `((value & mask) << shift)` of the wire value at `offset`.
struct Load {
  std::uint32_t offset = 0;
  std::uint16_t width = 0;  ///< bytes
  Wire wire = Wire::u8;
  std::uint8_t shift = 0;
  std::uint64_t mask = ~std::uint64_t{0};

  [[nodiscard]] std::uint32_t end() const noexcept { return offset + width; }
};

/// What the groups of a packet found out beyond the values themselves; masks are presence bits.
struct Outcome {
  std::uint32_t gone = 0;      ///< absent after all
  std::uint32_t kept = 0;      ///< "as before": the merged value stands
  std::uint32_t rejected = 0;  ///< values no record can hold: NaN, infinite, a time beyond int64
};

/// A field of a group that needs nothing but where from and where to.
struct Op {
  std::uint32_t offset;
  std::uint32_t slot;
};

/// A field with its own divisor, rounding, time unit or sentinels.
struct WideOp {
  std::uint32_t offset = 0;
  std::uint8_t slot = 0;  ///< presence bit: a value slot below 24, an integer member from 24 on
  std::uint8_t digits = 0;
  bool has_absent = false;
  bool has_unchanged = false;
  Divisor divisor;              ///< own divisor, or 10^digits
  std::int64_t multiplier = 1;  ///< times: ns per wire unit
  std::int64_t shift_ns = 0;
  std::int64_t absent = 0;
  std::int64_t unchanged = 0;
};

/// Packets of one layout that follow one another at equal distances: a group treats them all before the next
/// group does, so that what is fixed by the layout is set up once for many packets.
struct Run {
  const std::uint8_t* packet;  ///< the first
  std::size_t stride;          ///< bytes from one to the next
  std::uint32_t count;
  const Divisor* scales;  ///< one a packet, as the next two
  Record* records;
  Outcome* outcomes;
};

/// Packets a run has at most: their bytes, records and levels stay in the first-level cache.
inline constexpr std::uint32_t kMaxRun = 32;

using GroupFn = void (*)(const Run& run, const void* ops, std::uint32_t count);

struct Group {
  GroupFn run;
  const void* ops;  ///< into the packet's own `ops` or `wide`
  std::uint32_t count;
};

struct ColumnOp {
  std::uint32_t offset = 0;
  std::uint32_t stride = 0;
  Wire wire = Wire::u8;
};

struct LevelTable;
using LevelFn = Level* (*)(const std::uint8_t* packet, const LevelTable& table, std::uint32_t rows,
                           const Divisor& scale, Level* out, Outcome& outcome);

struct Depth;
using DepthFn = Level* (*)(const Depth& depth, const Run& run, const Level* frame, Level* out);
using TopsFn = void (*)(const Depth& depth, const Run& run);

/// One side of one depth table; a table whose rows carry a side flag becomes two of these.
struct LevelTable {
  enum class Rows : std::uint8_t { fixed, counted, rest };

  LevelFn run = nullptr;
  Side side = Side::bid;
  Action action = Action::add;
  Rows how = Rows::fixed;
  bool drop_zero = true;
  bool scaled = false;  ///< by the packet's divisor instead of its own
  bool has_orders = false;
  bool has_flag = false;
  std::uint8_t digits = 0;
  bool rounded = false;
  std::uint32_t rows = 0;  ///< fixed: rows; counted: the most that are believed
  Load count;
  ColumnOp price;
  ColumnOp quantity;
  ColumnOp orders;
  ColumnOp flag;
  std::int64_t flag_mine = 0;
  std::int64_t flag_other = 0;
  Divisor divisor;  ///< own divisor, or 10^digits
};

/// The level tables of a packet or schema: bids first, then asks.
struct Depth {
  DepthFn run = nullptr;  ///< the whole depth of a run of packets at once, where there is such a loop
  TopsFn tops = nullptr;  ///< only what `run` puts into the records, for depth that is read later
  std::vector<LevelTable> tables;
  std::size_t bid_tables = 0;
  bool fixed = true;    ///< every table has a fixed number of rows
  bool clears = false;  ///< only one side is told: it is replaced, the other stands
  Side clear_side = Side::bid;
  std::uint32_t fill = 0;  ///< top-of-book slots to take from the first levels
  std::size_t fixed_levels = 0;
  double levels_per_byte = 0;  ///< of counted and open-ended tables
};

/// A count followed by as many values of one type.
struct VectorOp {
  Load count;
  Wire wire = Wire::i32;
  std::uint32_t width = 4;
  bool after_name = false;
  bool has_unchanged = false;
  std::int64_t unchanged = 0;
};

struct DefineOp {
  Load name_length;
  std::uint32_t name_offset = 0;
  std::uint32_t head = 0;  ///< bytes that must be there before the name's length can be read
  VectorOp vector;
  std::optional<Load> precision;
  std::optional<Load> multiplier;
  std::uint32_t tail_size = 0;
  std::uint32_t tail_texts = 0;
};

enum class ScaleHow : std::uint8_t { fixed, by_part, from_fields, topic };
enum class Shape : std::uint8_t { plain, define, refer_vector, refer_fields };

inline constexpr std::size_t kMaxFields = kSlots + 4;

struct alignas(64) Packet {
  Record prototype;
  std::uint32_t size = 0;
  std::uint32_t mask = 0;  ///< presence bits this packet can set
  std::uint32_t group_count = 0;
  bool grows = false;
  bool merge = false;
  bool control = false;
  bool one_u32_key = false;
  /// Once the length is right nothing can be wrong with the packet, and nothing of it is remembered.
  bool simple = false;
  bool sure_fields = false;     ///< no field can be absent or rejected
  bool sure = false;            ///< simple, and nothing can be absent but an empty side of the depth
  std::uint8_t empty_from = 0;  ///< value slots from here on are not all set: they start out as NaN
  bool quick_scale = false;     ///< by_part, and the choosing byte stands at `scale_byte`
  Shape shape = Shape::plain;
  ScaleHow scale_how = ScaleHow::fixed;
  bool has_key = false;
  std::int16_t next = -1;  ///< next candidate with the same selector
  bool has_when = false;
  std::uint32_t scale_byte = 0;
  Divisor scale;
  Load key;  ///< the first part, or the topic
  Load scale_part;
  std::array<Group, kMaxFields> groups;
  std::array<Op, kMaxFields> ops;
  Depth depth;
  std::array<WideOp, kMaxFields> wide;
  std::vector<Load> key_parts;
  std::vector<Divisor> scale_table;  ///< 256 entries for by_part
  std::optional<Load> precision;
  std::optional<Load> multiplier;
  Load when;
  std::vector<std::uint64_t> when_values;
  DefineOp define;
  VectorOp vector;
  std::string name;
};

/// What the positions of a topic's values mean.
struct Schema {
  struct Value {
    GroupFn run;
    WideOp op;
    std::uint32_t position;
  };
  struct Sentinel {
    bool present = false;
    std::int64_t value = 0;
  };

  Record prototype;
  std::string name;
  std::string prefix;
  std::vector<Value> values;
  std::vector<Sentinel> sentinels;  ///< by position
  Depth depth;
  std::uint32_t positions = 0;
};

/// Values a topic may have at most; a schema beyond it does not compile.
inline constexpr std::uint32_t kMaxPositions = 256;

enum class FramingHow : std::uint8_t { single, counted, back_to_back };

struct Framing {
  FramingHow how = FramingHow::single;
  bool self_delimiting = false;  ///< no length anywhere: the layout says where a packet ends
  bool has_length_at = false;
  std::uint32_t header = 0;
  std::uint32_t min_frame = 0;
  Load count;
  Load length;  ///< offset 0: the prefix before a packet
  Load length_at;
};

/// Simple packets of one selector value, told apart by one byte.
struct Fork {
  std::uint32_t offset = 0;
  std::array<const Packet*, 256> by_byte{};  ///< null where the general way must look
};

/// Selector value (code or length) to the first candidate layout, -1 for none.
struct Selector {
  bool by_length = true;
  Load code;
  std::array<std::int16_t, 256> direct{};
  std::array<const Packet*, 256> quick{};              ///< simple packets that are alone under their selector
  std::array<std::unique_ptr<const Fork>, 256> forks;  ///< where several simple packets share one
  std::vector<std::pair<std::uint64_t, std::int16_t>> others;  ///< sorted
  std::vector<std::pair<std::uint64_t, std::int16_t>>
      growing;  ///< by length: (least size, layout), largest first

  [[nodiscard]] int find(std::uint64_t value) const noexcept;
};

/// Immutable; shared by all decoders made from it. Packets never move: groups point into them.
struct Layout final : FrameLayout {
  [[nodiscard]] const std::string& stream_name() const noexcept override { return name; }
  [[nodiscard]] std::vector<std::string> packet_names() const override;
  [[nodiscard]] bool numbers_messages() const noexcept override { return counts_messages; }

  std::string name;
  bool big = true;
  bool counts_messages = false;
  bool has_data_when = false;
  Framing framing;
  Selector select;
  Load message_number;
  Load data_when;
  std::vector<std::uint64_t> data_values;
  std::vector<Packet> packets;
  std::vector<Schema> schemas;  ///< longest prefix first
  std::uint32_t value_width = 4;
  std::size_t min_packet = 1;  ///< least bytes a packet that makes a record takes, its length prefix included
  std::size_t max_levels =
      0;  ///< most levels one packet can make, SIZE_MAX where only its length bounds them
  double levels_per_byte = 0;
  std::size_t max_tables = 0;
};

/// Compile a stream.
///
/// @throws std::invalid_argument naming the stream, the layout, the field, what was found and what was
/// expected
std::shared_ptr<const Layout> compile(const StreamSpec& spec);

}  // namespace dragoman::packed

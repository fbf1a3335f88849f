#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace dragoman::packed {

/// A packed stream as its author wrote it: the plain-data twin of `dragoman.plugin.layout`, which documents
/// every member. Nothing here is checked; `compile` does that and names what cannot be.

struct PartSpec {
  std::string type;
  std::int64_t offset = 0;
  std::int64_t shift = 0;
  std::uint64_t mask = ~std::uint64_t{0};
};

struct ScaleSpec {
  std::string how = "fixed";  ///< fixed, by_part, from_fields, topic
  std::int64_t divisor = 1;
  std::optional<PartSpec> part;
  std::vector<std::pair<std::int64_t, std::int64_t>> table;
  std::optional<PartSpec> precision;
  std::optional<PartSpec> multiplier;
};

struct FieldSpec {
  std::string to;
  std::string type;
  std::int64_t offset = 0;
  bool scaled = false;
  std::int64_t divisor = 1;
  std::optional<std::string> unit;
  std::int64_t shift_s = 0;
  std::optional<std::int64_t> digits;
  std::optional<std::int64_t> absent;
  std::optional<std::int64_t> unchanged;
};

struct ColumnSpec {
  std::string type;
  std::int64_t offset = 0;
  std::int64_t stride = 0;
};

struct SideFlagSpec {
  std::string type;
  std::int64_t offset = 0;
  std::int64_t bid = 0;
  std::int64_t ask = 0;
};

struct LevelsSpec {
  std::variant<std::string, SideFlagSpec> side;            ///< "bid", "ask" or a flag
  std::variant<std::int64_t, PartSpec, std::string> rows;  ///< fixed, counted or "rest"
  ColumnSpec price;
  ColumnSpec quantity;
  std::optional<ColumnSpec> orders;
  std::int64_t stride = 0;
  std::int64_t max_rows = 1024;
  std::string empty = "zero";
  bool scaled = false;
  std::int64_t divisor = 1;
  std::optional<std::int64_t> digits;
  std::optional<std::int64_t> unchanged;
};

struct SchemaSpec {
  std::string name;
  std::string prefix;
  std::vector<FieldSpec> fields;
  std::vector<LevelsSpec> levels;
  std::string kind = "quote";
  std::string mode = "quote";
  std::vector<std::string> flags;
};

struct VectorSpec {
  PartSpec count;
  std::string type = "i32";
  std::optional<std::int64_t> unchanged;
  bool after_name = false;
};

struct DefineSpec {
  PartSpec topic;
  PartSpec name_length;
  std::int64_t name_offset = 0;
  VectorSpec vector;
  std::optional<PartSpec> precision;
  std::optional<PartSpec> multiplier;
  std::int64_t tail_size = 0;
  std::int64_t tail_texts = 0;
};

struct ReferSpec {
  PartSpec topic;
  std::optional<VectorSpec> vector;
};

struct PacketSpec {
  std::string name;
  std::int64_t size = 0;
  std::optional<std::vector<PartSpec>> key;
  std::vector<FieldSpec> fields;
  std::vector<LevelsSpec> levels;
  ScaleSpec scale;
  std::optional<std::int64_t> code;
  std::string kind = "quote";
  std::string mode = "none";
  std::vector<std::string> flags;
  bool grows = false;
  bool merge = false;
  bool control = false;
  std::optional<DefineSpec> define;
  std::optional<ReferSpec> refer;
  std::optional<std::pair<PartSpec, std::int64_t>> when;
  std::vector<std::int64_t> when_in;
};

struct FramingSpec {
  std::string how;  ///< single, counted, back_to_back
  std::int64_t header = 0;
  std::optional<PartSpec> count;
  std::optional<std::string> length;
  std::optional<PartSpec> length_at;
  std::int64_t min_frame = 0;
};

struct SelectSpec {
  std::string how;  ///< length, code
  std::optional<PartSpec> code;
};

struct StreamSpec {
  std::string name;
  std::string byte_order;  ///< big, little
  FramingSpec framing;
  SelectSpec select;
  std::vector<PacketSpec> layouts;
  std::optional<std::pair<PartSpec, std::vector<std::int64_t>>> data_when;
  std::optional<PartSpec> message_number;
  std::vector<SchemaSpec> schemas;
};

}  // namespace dragoman::packed

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace dragoman::protobuf {

/// A protobuf stream as its author wrote it: the plain-data twin of `dragoman.plugin.layout_protobuf`, which
/// documents every member. Nothing here is checked; `compile` does that and names what cannot be.

struct ShapeSpec {
  std::string name;
  std::string kind = "quote";
  std::string mode = "none";
  std::vector<std::string> flags;
};

struct OnlySpec {
  std::int64_t number = 0;
  std::string type;
  std::vector<std::variant<std::int64_t, std::string>> values;
};

struct ColumnSpec {
  std::vector<std::int64_t> path;
  std::string type;
  std::int64_t divisor = 1;
  std::optional<std::int64_t> digits;
};

struct SideSpec {
  ColumnSpec price;
  ColumnSpec quantity;
  std::optional<ColumnSpec> orders;
};

/// One member of a message; `what` says which of the rest counts.
struct MemberSpec {
  std::string what;  ///< value, constant, key, levels, columns, control, restart, sub, records
  std::int64_t number = 0;
  std::string type;

  std::string to;  ///< value, constant
  std::int64_t divisor = 1;
  std::optional<std::string> unit;
  std::int64_t shift_s = 0;
  std::optional<std::int64_t> digits;
  std::optional<std::int64_t> absent;
  std::optional<std::int64_t> default_value;
  double constant = 0.0;

  std::int64_t shift = 0;  ///< key
  std::uint64_t mask = ~std::uint64_t{0} >> 1;

  std::optional<SideSpec> bid;  ///< levels; columns hold theirs in one of the two
  std::optional<SideSpec> ask;
  std::optional<ColumnSpec> position;  ///< levels
  std::int64_t max_rows = 1024;
  std::string empty = "zero";
  bool sort = false;

  std::vector<MemberSpec> members;  ///< sub, records
  std::optional<ShapeSpec> shape;
  std::optional<OnlySpec> only_if;
};

struct StreamSpec {
  std::string name;
  std::vector<MemberSpec> members;
  std::optional<ShapeSpec> shape;
  std::optional<OnlySpec> control_when;
  bool merge = false;
  bool merge_shapes = true;
  std::int64_t max_records = 16384;
};

}  // namespace dragoman::protobuf

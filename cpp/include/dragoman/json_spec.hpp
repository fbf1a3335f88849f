#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

/// The description of a JSON or MessagePack stream as the front end states it. What each member means stands
/// with the Python classes of the same names (`dragoman.plugin.layout_json`).
namespace dragoman::json {

using Step = std::variant<std::string, std::int64_t>;

struct PathSpec {
  std::int64_t up = 0;  ///< scopes outwards from the layout's own place; -1: the message
  std::vector<Step> steps;
};

using ValueSpec = std::variant<std::string, std::int64_t, bool>;

struct WhenSpec {
  std::string how;  ///< equals, has, absent
  std::vector<PathSpec> paths;
  std::vector<ValueSpec> values;
};

struct KeySpec {
  std::vector<PathSpec> paths;
  std::string join;
  std::optional<std::string> until;
  bool number = false;
};

struct FieldSpec {
  std::string to;
  PathSpec path;
  std::int64_t divisor = 1;
  std::optional<std::string> unit;
  std::int64_t shift_s = 0;
  std::int64_t add = 0;
  std::vector<std::string> absent;
};

struct AggressorSpec {
  PathSpec path;
  std::vector<ValueSpec> buyer;
  std::vector<ValueSpec> seller;
};

struct RowSpec {
  PathSpec price;
  PathSpec quantity;
  std::optional<PathSpec> orders;
};

struct LevelsSpec {
  std::string side;  ///< bid, ask, row
  std::optional<Step> side_at;
  std::vector<std::string> bid;
  std::vector<std::string> ask;
  std::optional<PathSpec> path;
  Step price = std::int64_t{0};
  Step quantity = std::int64_t{1};
  std::optional<Step> orders;
  std::vector<RowSpec> rows;
  std::int64_t divisor = 1;
  bool exact = true;
};

struct LayoutSpec {
  std::string name;
  std::vector<WhenSpec> when;
  std::optional<KeySpec> key;
  std::vector<FieldSpec> fields;
  std::vector<LevelsSpec> levels;
  std::optional<AggressorSpec> aggressor;
  std::optional<PathSpec> at;
  std::optional<PathSpec> each;
  std::string kind = "quote";
  std::string mode = "none";
  std::vector<std::string> flags;
  std::optional<WhenSpec> snapshot_when;
  bool merge = false;
  bool base = false;
  bool control = false;
};

struct StreamSpec {
  std::string name;
  std::string encoding = "json";
  bool positional = false;
  std::vector<std::string> plain;
  std::vector<LayoutSpec> layouts;
};

}  // namespace dragoman::json

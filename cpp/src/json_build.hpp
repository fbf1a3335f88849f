#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "dragoman/json_layout.hpp"
#include "packed_check.hpp"

namespace dragoman::json {

/// Where a layout's paths start.
struct Home {
  std::vector<std::uint16_t> chain;  ///< scopes from the message to its own
  std::vector<Step> at;              ///< steps before each path in the message
};

/// A place in a tree that is being built. Until `finish` numbers the slots, `slot` is the place's index.
struct Spot {
  std::uint16_t scope;
  std::uint16_t slot;
};

/// Grows the trees of all scopes, then lays them out and replaces indices by slots in every layout.
class Builder {
 public:
  explicit Builder(Layout& layout);

  Home home(const LayoutSpec& spec, const packed::Place& place);
  Spot spot(const Home& home, const PathSpec& path, const packed::Place& place);
  [[nodiscard]] std::uint8_t depth(std::uint16_t scope) const { return layout_.scopes[scope].depth; }
  std::uint16_t shape(Shape shape, const std::vector<std::pair<std::string, std::uint16_t>>& keys);
  void note_rows(const Spot& spot, std::uint16_t shape);
  static Candidate candidate(const MessageLayout& layout, std::uint16_t index, unsigned depth);
  void finish(const packed::Place& stream);

 private:
  struct Branch {
    std::vector<std::pair<std::string, std::uint16_t>> keys;
    std::vector<std::pair<std::int64_t, std::uint16_t>> items;
    std::vector<std::uint16_t> shapes;  ///< of all tables that layouts see here
    std::uint16_t slot = kNone;
    std::uint16_t node = kNone;
  };
  /// The keys of a shape's rows, whose node is laid out last.
  struct RowKeys {
    std::uint16_t shape;
    std::vector<std::pair<std::string, std::uint16_t>> keys;
  };

  std::uint16_t branch();
  std::uint16_t walk(std::uint16_t from, const std::vector<Step>& steps, const packed::Place& place);
  std::uint16_t scope_below(std::uint16_t parent, std::uint16_t container, const packed::Place& place);
  void lay_out(std::uint16_t branch);
  void lay_keys(Node& node, const std::vector<std::pair<std::string, std::uint16_t>>& keys);
  void resolve(std::uint16_t& slot) const;

  Layout& layout_;
  std::vector<Branch> branches_;
  std::vector<RowKeys> row_keys_;
};

}  // namespace dragoman::json

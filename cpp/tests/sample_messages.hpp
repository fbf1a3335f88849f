#pragma once

#include <optional>
#include <string>
#include <vector>

#include "dragoman/protobuf_spec.hpp"

/// Protobuf streams for tests and fuzzing: between them they use every member and every type.
namespace samples {

using namespace dragoman::protobuf;

inline MemberSpec value(std::int64_t number, const char* type, const char* to) {
  MemberSpec member;
  member.what = "value";
  member.number = number;
  member.type = type;
  member.to = to;
  return member;
}

inline MemberSpec time(std::int64_t number, const char* type, const char* to, const char* unit) {
  MemberSpec member = value(number, type, to);
  member.unit = unit;
  return member;
}

inline MemberSpec key(std::int64_t number, const char* type, std::int64_t shift = 0) {
  MemberSpec member;
  member.what = "key";
  member.number = number;
  member.type = type;
  member.shift = shift;
  return member;
}

inline MemberSpec nested(const char* what, std::int64_t number, std::vector<MemberSpec> members,
                         std::optional<ShapeSpec> shape = {}) {
  MemberSpec member;
  member.what = what;
  member.number = number;
  member.members = std::move(members);
  member.shape = std::move(shape);
  return member;
}

inline SideSpec side(std::vector<std::int64_t> price, const char* price_type,
                     std::vector<std::int64_t> quantity, const char* quantity_type) {
  return {{std::move(price), price_type, 1, {}}, {std::move(quantity), quantity_type, 1, {}}, {}};
}

inline MemberSpec depth(const char* what, std::int64_t number, std::optional<SideSpec> bid,
                        std::optional<SideSpec> ask, bool sort = false) {
  MemberSpec member;
  member.what = what;
  member.number = number;
  member.bid = std::move(bid);
  member.ask = std::move(ask);
  member.sort = sort;
  return member;
}

/// A map of instruments, variants, levels side by side, a condition, partial updates.
inline StreamSpec by_map() {
  MemberSpec price = value(1, "double", "last_price");
  price.default_value = 0;
  const std::vector<MemberSpec> trade{price, time(2, "int64", "last_trade_time", "ms"),
                                      value(3, "int64", "last_quantity"),
                                      value(4, "double", "previous_close")};
  MemberSpec day =
      nested("sub", 1, {value(2, "double", "open"), value(3, "double", "high"), value(4, "double", "low")});
  day.only_if = OnlySpec{1, "string", {std::string("1d")}};
  MemberSpec greeks;
  greeks.what = "control";
  greeks.number = 3;
  const std::vector<MemberSpec> full{
      nested("sub", 1, trade),
      nested("sub", 2,
             {depth("levels", 1, side({2}, "double", {1}, "int64"), side({4}, "double", {3}, "int64"))}),
      greeks,
      nested("sub", 4, {day}),
      value(5, "double", "average_price"),
      value(6, "int64", "volume")};
  StreamSpec stream;
  stream.name = "by_map";
  stream.merge = true;
  stream.control_when = OnlySpec{1, "enum", {std::int64_t{2}}};
  stream.members = {
      nested("records", 2,
             {key(1, "string"),
              nested("sub", 2,
                     {nested("sub", 1, trade, ShapeSpec{"ltp", "quote", "ltp", {}}),
                      nested("sub", 2, {nested("sub", 1, full, ShapeSpec{"full", "quote", "full", {}})})})}),
      time(3, "int64", "ts_event", "ms")};
  return stream;
}

/// The root is the record: a composed key, maps as rows, times told by magnitude, constants.
inline StreamSpec by_root() {
  MemberSpec constant = value(0, "", "turnover");
  constant.what = "constant";
  constant.constant = 1.5;
  MemberSpec rounded = value(3, "float", "open");
  rounded.digits = 2;
  MemberSpec divided = value(20, "sint64", "high");
  divided.divisor = 10000;
  MemberSpec absent = value(5, "uint32", "low");
  absent.absent = 7;
  StreamSpec stream;
  stream.name = "by_root";
  stream.members = {key(3, "enum"), key(1, "string"),
                    nested("sub", 4,
                           {time(1, "double", "ts_event", "epoch"), value(2, "decimal", "last_price"),
                            rounded, divided, absent, value(6, "uint64", "volume"),
                            value(7, "sfixed64", "sequence"), value(8, "bool", "oi"), constant},
                           ShapeSpec{"price", "quote", "quote", {"index"}}),
                    nested("sub", 5,
                           {depth("levels", 2, side({2, 1}, "double", {2, 2}, "decimal"), {}, true),
                            depth("levels", 3, {}, side({2, 1}, "double", {2, 2}, "decimal"), true)},
                           ShapeSpec{"book", "depth_snapshot", "full", {}})};
  return stream;
}

/// Records of deltas with integer keys of two parts and rows as parallel lists.
inline StreamSpec by_lists() {
  MemberSpec bids = depth("columns", 0, side({3}, "sint32", {4}, "fixed32"), {});
  bids.bid->price.divisor = 100;
  bids.bid->orders = ColumnSpec{{5}, "uint32", 1, {}};
  MemberSpec asks = depth("columns", 0, {}, side({6}, "decimal", {7}, "float"));
  asks.max_rows = 8;
  asks.empty = "none";
  StreamSpec stream;
  stream.name = "by_lists";
  stream.merge = true;
  stream.max_records = 64;
  stream.members = {nested("records", 1,
                           {key(1, "uint32", 32), key(2, "fixed32"), bids, asks,
                            value(8, "fixed64", "sequence"), time(9, "sfixed32", "ts_event", "s")},
                           ShapeSpec{"delta", "depth_delta", "none", {}})};
  return stream;
}

}  // namespace samples

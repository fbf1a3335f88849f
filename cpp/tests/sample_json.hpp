#pragma once

#include <string>

#include "dragoman/json_spec.hpp"

/// JSON streams that tests and the fuzz target share; together they use every part of the engine.
namespace samples {

using namespace dragoman::json;

inline PathSpec path(std::initializer_list<Step> steps, std::int64_t up = 0) {
  return {up, steps};
}

inline WhenSpec equals(Step step, ValueSpec value, std::int64_t up = 0) {
  return {"equals", {path({std::move(step)}, up)}, {std::move(value)}};
}

inline FieldSpec field(std::string to, Step step, std::int64_t up = 0) {
  FieldSpec spec;
  spec.to = std::move(to);
  spec.path = path({std::move(step)}, up);
  return spec;
}

inline FieldSpec time(std::string to, Step step, std::string unit) {
  FieldSpec spec = field(std::move(to), std::move(step));
  spec.unit = std::move(unit);
  return spec;
}

inline KeySpec key(std::vector<PathSpec> paths) {
  return {std::move(paths), "|", std::nullopt, false};
}

inline LevelsSpec levels(std::string side, std::initializer_list<Step> steps) {
  LevelsSpec spec;
  spec.side = std::move(side);
  spec.path = path(steps);
  return spec;
}

inline LayoutSpec layout(std::string name, std::string kind) {
  LayoutSpec spec;
  spec.name = std::move(name);
  spec.kind = std::move(kind);
  return spec;
}

/// Objects told apart by "e": depth deltas numbered U..u, trades, full books.
inline StreamSpec exchange() {
  LayoutSpec depth = layout("depth", "depth_delta");
  depth.when = {equals("e", std::string("depthUpdate"))};
  depth.key = key({path({"s"})});
  depth.fields = {time("ts_event", "E", "ms"), field("sequence", "u"), field("prev_sequence", "U")};
  depth.fields[2].add = -1;
  depth.levels = {levels("bid", {"b"}), levels("ask", {"a"})};
  LayoutSpec trade = layout("trade", "trade");
  trade.when = {equals("e", std::string("trade"))};
  trade.key = key({path({"s"})});
  trade.fields = {field("last_price", "p"), field("last_quantity", "q")};
  trade.aggressor = AggressorSpec{path({"m"}), {false}, {true}};
  LayoutSpec full = layout("full", "depth_snapshot");
  full.when = {equals("e", std::string("snap"))};
  full.key = depth.key;
  full.levels = depth.levels;
  return {"exchange", "json", false, {"pong"}, {depth, trade, full}};
}

inline StreamSpec times(const std::string& unit) {
  LayoutSpec one = layout("time", "status");
  one.fields = {time("ts_event", "t", unit)};
  return {"times", "json", false, {}, {one}};
}

/// Arrays whose parts have positions; two maps may carry one side each.
inline StreamSpec positional() {
  LayoutSpec book = layout("book", "depth_delta");
  book.when = {equals(std::int64_t{-2}, std::string("book-10"))};
  book.key = key({path({std::int64_t{-1}})});
  book.levels = {levels("bid", {std::int64_t{1}, "b"}), levels("bid", {std::int64_t{2}, "b"}),
                 levels("ask", {std::int64_t{1}, "a"}), levels("ask", {std::int64_t{2}, "a"})};
  return {"positional", "json", true, {}, {book}};
}

/// Records two arrays down; rows of levels as objects that name their side.
inline StreamSpec nested() {
  LayoutSpec trade = layout("trade", "trade");
  trade.when = {equals("channel", std::string("trades"), -1), equals("type", std::string("update"), 1)};
  trade.each = path({"events", "*", "trades"});
  trade.key = key({path({"id"})});
  trade.fields = {field("last_price", "p"), field("sequence", "n", -1)};
  LayoutSpec book = layout("book", "depth_delta");
  book.when = {equals("channel", std::string("l2"), -1)};
  book.each = path({"events"});
  book.key = key({path({"id"})});
  book.snapshot_when = equals("type", std::string("snapshot"));
  LevelsSpec rows = levels("row", {"updates"});
  rows.side_at = std::string("side");
  rows.bid = {"bid"};
  rows.ask = {"offer"};
  rows.price = std::string("price_level");
  rows.quantity = std::string("new_quantity");
  rows.orders = std::string("orders");
  book.levels = {rows};
  return {"nested", "json", false, {}, {trade, book}};
}

inline StreamSpec map_of_prices() {
  LayoutSpec mid = layout("mid", "quote");
  mid.each = path({"mids"});
  mid.key = key({path({"@key"})});
  mid.fields = {field("last_price", "@value")};
  return {"mids", "json", false, {}, {mid}};
}

/// Full and partial messages of one instrument, levels in fields of their own.
inline StreamSpec partial() {
  LayoutSpec full = layout("full", "quote");
  full.when = {equals("t", std::string("tk"))};
  full.key = key({path({"e"}), path({"tk"})});
  full.fields = {field("last_price", "lp"), field("volume", "v")};
  full.fields[1].absent = {"-1"};
  for (const bool bid : {true, false}) {
    LevelsSpec side;
    side.side = bid ? "bid" : "ask";
    side.rows = {{path({bid ? "bp1" : "sp1"}), path({bid ? "bq1" : "sq1"}), path({bid ? "bo1" : "so1"})},
                 {path({bid ? "bp2" : "sp2"}), path({bid ? "bq2" : "sq2"}), std::nullopt}};
    full.levels.push_back(side);
  }
  full.merge = true;
  LayoutSpec update = full;
  update.name = "update";
  update.when = {equals("t", std::string("tf"))};
  full.base = true;
  return {"partial", "json", false, {}, {full, update}};
}

/// Mixed messages in one array, as MessagePack.
inline StreamSpec packed() {
  LayoutSpec trade = layout("trade", "trade");
  trade.when = {equals("T", std::string("t"))};
  trade.key = key({path({"S"})});
  trade.fields = {field("last_price", "p"), field("last_quantity", "s"),
                  time("last_trade_time", "t", "rfc3339")};
  LayoutSpec book = layout("book", "depth_delta");
  book.when = {equals("T", std::string("o"))};
  book.key = trade.key;
  book.snapshot_when = equals("r", true);
  for (const bool bid : {true, false}) {
    LevelsSpec rows = levels(bid ? "bid" : "ask", {bid ? "b" : "a"});
    rows.price = std::string("p");
    rows.quantity = std::string("s");
    book.levels.push_back(rows);
  }
  return {"packed", "msgpack", false, {}, {trade, book}};
}

}  // namespace samples

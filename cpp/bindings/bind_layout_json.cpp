#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "dragoman/json_decoder.hpp"
#include "dragoman/json_layout.hpp"
#include "py_layout.hpp"
#include "spec_node.hpp"

namespace py = pybind11;

namespace {

using dragoman::json::AggressorSpec;
using dragoman::json::FieldSpec;
using dragoman::json::KeySpec;
using dragoman::json::LayoutSpec;
using dragoman::json::LevelsSpec;
using dragoman::json::PathSpec;
using dragoman::json::RowSpec;
using dragoman::json::Step;
using dragoman::json::StreamSpec;
using dragoman::json::ValueSpec;
using dragoman::json::WhenSpec;

Step read_step(const Node& node, const char* key, py::handle value) {
  if (py::isinstance<py::str>(value)) {
    return node.as_text(value, key);
  }
  return node.as_integer(value, key);
}

PathSpec read_path(const Node& node) {
  PathSpec path;
  path.up = node.integer("up");
  for (const py::handle step : node.sequence("steps")) {
    path.steps.push_back(read_step(node, "steps", step));
  }
  return path;
}

std::vector<ValueSpec> read_values(const Node& node, const char* key) {
  std::vector<ValueSpec> values;
  for (const py::handle value : node.sequence(key)) {
    if (py::isinstance<py::bool_>(value)) {
      values.emplace_back(value.cast<bool>());
    } else if (py::isinstance<py::str>(value)) {
      values.emplace_back(node.as_text(value, key));
    } else {
      values.emplace_back(node.as_integer(value, key));
    }
  }
  return values;
}

WhenSpec read_when(const Node& node) {
  return {node.text("how"), node.each("paths", read_path), read_values(node, "values")};
}

KeySpec read_key(const Node& node) {
  return {node.each("paths", read_path), node.text("join"), node.maybe_text("until"), node.flag("number")};
}

FieldSpec read_field(const Node& unnamed) {
  FieldSpec field;
  field.to = unnamed.text("to");
  const Node node = unnamed.called(field.to);
  field.path = read_path(node.node("path"));
  field.divisor = node.integer("divisor");
  field.unit = node.maybe_text("unit");
  field.shift_s = node.integer("shift_s");
  field.add = node.integer("add");
  field.absent = node.texts("absent");
  return field;
}

AggressorSpec read_aggressor(const Node& node) {
  return {read_path(node.node("path")), read_values(node, "buyer"), read_values(node, "seller")};
}

RowSpec read_row(const Node& node) {
  return {read_path(node.node("price")), read_path(node.node("quantity")), node.maybe("orders", read_path)};
}

LevelsSpec read_levels(const Node& node) {
  LevelsSpec levels;
  levels.side = node.text("side");
  if (const py::object at = node.at("side_at"); !at.is_none()) {
    levels.side_at = read_step(node, "side_at", at);
  }
  levels.bid = node.texts("bid");
  levels.ask = node.texts("ask");
  levels.path = node.maybe("path", read_path);
  levels.price = read_step(node, "price", node.at("price"));
  levels.quantity = read_step(node, "quantity", node.at("quantity"));
  if (const py::object orders = node.at("orders"); !orders.is_none()) {
    levels.orders = read_step(node, "orders", orders);
  }
  levels.rows = node.each("rows", read_row);
  levels.divisor = node.integer("divisor");
  levels.exact = node.flag("exact");
  return levels;
}

LayoutSpec read_layout(const Node& unnamed) {
  LayoutSpec layout;
  layout.name = unnamed.text("name");
  const Node node = unnamed.called(layout.name);
  layout.when = node.each("when", read_when);
  layout.key = node.maybe("key", read_key);
  layout.fields = node.each("fields", read_field);
  layout.levels = node.each("levels", read_levels);
  layout.aggressor = node.maybe("aggressor", read_aggressor);
  layout.at = node.maybe("at", read_path);
  layout.each = node.maybe("each", read_path);
  layout.kind = node.text("kind");
  layout.mode = node.text("mode");
  layout.flags = node.texts("flags");
  layout.snapshot_when = node.maybe("snapshot_when", read_when);
  layout.merge = node.flag("merge");
  layout.base = node.flag("base");
  layout.control = node.flag("control");
  return layout;
}

StreamSpec read_stream(const py::handle& spec) {
  const Node node(spec, "stream");
  return {node.text("name"), node.text("encoding"), node.flag("positional"), node.texts("plain"),
          node.each("layouts", read_layout)};
}

}  // namespace

void bind_layout_json(py::module_& m) {
  // std::invalid_argument, which compile() throws, becomes ValueError.
  m.def(
      "compile_json",
      [](const py::handle& spec) {
        return PyLayout::of<dragoman::json::Layout, dragoman::json::Decoder>(
            dragoman::json::compile(read_stream(spec)));
      },
      py::arg("spec"));
}

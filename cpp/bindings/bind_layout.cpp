#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "dragoman/packed_decoder.hpp"
#include "dragoman/packed_layout.hpp"
#include "py_layout.hpp"
#include "spec_node.hpp"

namespace py = pybind11;

namespace {

using namespace dragoman::packed;

PartSpec read_part(const Node& node) {
  return {node.text("type"), node.integer("offset"), node.integer("shift"), node.bits("mask")};
}

ScaleSpec read_scale(const Node& node) {
  ScaleSpec scale;
  scale.how = node.text("how");
  scale.divisor = node.integer("divisor");
  scale.part = node.maybe("part", read_part);
  for (const py::handle item : node.sequence("table")) {
    const auto [value, divisor] = node.pair_of(py::reinterpret_borrow<py::object>(item), "table");
    scale.table.emplace_back(node.as_integer(value, "table"), node.as_integer(divisor, "table"));
  }
  scale.precision = node.maybe("precision", read_part);
  scale.multiplier = node.maybe("multiplier", read_part);
  return scale;
}

FieldSpec read_field(const Node& unnamed) {
  FieldSpec field;
  field.to = unnamed.text("to");
  const Node node = unnamed.called(field.to);
  field.type = node.text("type");
  field.offset = node.integer("offset");
  field.scaled = node.flag("scaled");
  field.divisor = node.integer("divisor");
  field.unit = node.maybe_text("unit");
  field.shift_s = node.integer("shift_s");
  field.digits = node.maybe_integer("digits");
  const auto sentinel = [&](const char* key) -> std::optional<std::int64_t> {
    if (field.type == "u64" && !node.at(key).is_none()) {
      return static_cast<std::int64_t>(node.bits(key));
    }
    return node.maybe_integer(key);
  };
  field.absent = sentinel("absent");
  field.unchanged = sentinel("unchanged");
  return field;
}

ColumnSpec read_column(const Node& node) {
  return {node.text("type"), node.integer("offset"), node.integer("stride")};
}

LevelsSpec read_levels(const Node& node) {
  LevelsSpec levels;
  const py::object side = node.at("side");
  if (py::isinstance<py::str>(side)) {
    levels.side = side.cast<std::string>();
  } else {
    const Node flag = node.node("side");
    levels.side =
        SideFlagSpec{flag.text("type"), flag.integer("offset"), flag.integer("bid"), flag.integer("ask")};
  }
  const py::object rows = node.at("rows");
  if (py::isinstance<py::str>(rows)) {
    levels.rows = rows.cast<std::string>();
  } else if (PyLong_Check(rows.ptr())) {
    levels.rows = node.integer("rows");
  } else {
    levels.rows = read_part(node.node("rows"));
  }
  levels.price = read_column(node.node("price"));
  levels.quantity = read_column(node.node("quantity"));
  levels.orders = node.maybe("orders", read_column);
  levels.stride = node.integer("stride");
  levels.max_rows = node.integer("max_rows");
  levels.empty = node.text("empty");
  levels.scaled = node.flag("scaled");
  levels.divisor = node.integer("divisor");
  levels.digits = node.maybe_integer("digits");
  levels.unchanged = node.maybe_integer("unchanged");
  return levels;
}

SchemaSpec read_schema(const Node& unnamed) {
  SchemaSpec schema;
  schema.name = unnamed.text("name");
  const Node node = unnamed.called(schema.name);
  schema.prefix = node.text("prefix");
  schema.fields = node.each("fields", read_field);
  schema.levels = node.each("levels", read_levels);
  schema.kind = node.text("kind");
  schema.mode = node.text("mode");
  schema.flags = node.texts("flags");
  return schema;
}

VectorSpec read_vector(const Node& node) {
  return {read_part(node.node("count")), node.text("type"), node.maybe_integer("unchanged"),
          node.flag("after_name")};
}

DefineSpec read_define(const Node& node) {
  DefineSpec define;
  define.topic = read_part(node.node("topic"));
  define.name_length = read_part(node.node("name_length"));
  define.name_offset = node.integer("name_offset");
  define.vector = read_vector(node.node("vector"));
  define.precision = node.maybe("precision", read_part);
  define.multiplier = node.maybe("multiplier", read_part);
  define.tail_size = node.integer("tail_size");
  define.tail_texts = node.integer("tail_texts");
  return define;
}

ReferSpec read_refer(const Node& node) {
  return {read_part(node.node("topic")), node.maybe("vector", read_vector)};
}

PacketSpec read_packet(const Node& unnamed) {
  PacketSpec packet;
  packet.name = unnamed.text("name");
  const Node node = unnamed.called(packet.name);
  packet.size = node.integer("size");
  packet.key = node.maybe("key", [](const Node& key) { return key.each("parts", read_part); });
  packet.fields = node.each("fields", read_field);
  packet.levels = node.each("levels", read_levels);
  packet.scale = read_scale(node.node("scale"));
  packet.code = node.maybe_integer("code");
  packet.kind = node.text("kind");
  packet.mode = node.text("mode");
  packet.flags = node.texts("flags");
  packet.grows = node.flag("grows");
  packet.merge = node.flag("merge");
  packet.control = node.flag("control");
  packet.define = node.maybe("define", read_define);
  packet.refer = node.maybe("refer", read_refer);
  if (const py::object when = node.at("when"); !when.is_none()) {
    const auto [part, value] = node.pair_of(when, "when");
    packet.when.emplace(read_part(Node(part, node.path() + ": when")), node.as_integer(value, "when"));
  }
  packet.when_in = node.integers("when_in");
  return packet;
}

StreamSpec read_stream(py::handle spec) {
  const Node root(spec, "packed stream");
  StreamSpec stream;
  stream.name = root.text("name");
  const Node node(spec, "stream '" + stream.name + "'");
  stream.byte_order = node.text("byte_order");
  const Node framing = node.node("framing");
  stream.framing.how = framing.text("how");
  stream.framing.header = framing.integer("header");
  stream.framing.count = framing.maybe("count", read_part);
  stream.framing.length = framing.maybe_text("length");
  stream.framing.length_at = framing.maybe("length_at", read_part);
  stream.framing.min_frame = framing.integer("min_frame");
  const Node select = node.node("select");
  stream.select = {select.text("how"), select.maybe("code", read_part)};
  stream.layouts = node.each("layouts", read_packet);
  if (const py::object when = node.at("data_when"); !when.is_none()) {
    const auto [part, values] = node.pair_of(when, "data_when");
    stream.data_when.emplace(read_part(Node(part, node.path() + ": data_when")),
                             node.integers_of(values, "data_when"));
  }
  stream.message_number = node.maybe("message_number", read_part);
  stream.schemas = node.each("schemas", read_schema);
  return stream;
}

}  // namespace

void bind_layout(py::module_& m) {
  py::class_<PyLayout>(m, "Layout", py::is_final())
      .def_property_readonly("name", [](const PyLayout& self) { return self.layout().stream_name(); })
      .def_property_readonly("packets",
                             [](const PyLayout& self) {
                               const std::vector<std::string> names = self.layout().packet_names();
                               py::tuple all(names.size());
                               for (std::size_t i = 0; i < names.size(); ++i) {
                                 all[i] = names[i];
                               }
                               return all;
                             })
      .def_property_readonly("counts_messages",
                             [](const PyLayout& self) { return self.layout().numbers_messages(); })
      .def_property_readonly("reads_text", [](const PyLayout& self) { return self.layout().reads_text(); });
  // std::invalid_argument, which compile() throws, becomes ValueError.
  m.def(
      "compile_packed",
      [](const py::handle& spec) { return PyLayout::of<Layout, Decoder>(compile(read_stream(spec))); },
      py::arg("spec"));
}

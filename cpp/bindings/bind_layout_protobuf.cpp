#include "bindings.hpp"
#include "dragoman/protobuf_decoder.hpp"
#include "dragoman/protobuf_layout.hpp"
#include "py_layout.hpp"
#include "spec_node.hpp"

namespace py = pybind11;

namespace {

// Not the whole namespace: it has a Node of its own.
using dragoman::protobuf::ColumnSpec;
using dragoman::protobuf::MemberSpec;
using dragoman::protobuf::OnlySpec;
using dragoman::protobuf::ShapeSpec;
using dragoman::protobuf::SideSpec;
using dragoman::protobuf::StreamSpec;

ShapeSpec read_shape(const Node& unnamed) {
  ShapeSpec shape;
  shape.name = unnamed.text("name");
  const Node node = unnamed.called(shape.name);
  shape.kind = node.text("kind");
  shape.mode = node.text("mode");
  shape.flags = node.texts("flags");
  return shape;
}

OnlySpec read_only(const Node& node) {
  OnlySpec only;
  only.number = node.integer("number");
  only.type = node.text("type");
  for (const py::handle value : node.sequence("values")) {
    if (py::isinstance<py::str>(value)) {
      only.values.emplace_back(node.as_text(value, "values"));
    } else {
      only.values.emplace_back(node.as_integer(value, "values"));
    }
  }
  return only;
}

ColumnSpec read_column(const Node& node) {
  ColumnSpec column;
  const py::object number = node.at("number");
  if (PyLong_Check(number.ptr())) {
    column.path = {node.integer("number")};
  } else {
    column.path = node.integers_of(number, "number");
  }
  column.type = node.text("type");
  column.divisor = node.integer("divisor");
  column.digits = node.maybe_integer("digits");
  return column;
}

SideSpec read_side(const Node& node) {
  return {read_column(node.node("price")), read_column(node.node("quantity")),
          node.maybe("orders", read_column)};
}

void read_rows(const Node& node, MemberSpec& member) {
  member.max_rows = node.integer("max_rows");
  member.empty = node.text("empty");
  member.sort = node.flag("sort");
}

double read_double(const Node& node, const char* key) {
  const py::object value = node.at(key);
  if (!PyFloat_Check(value.ptr()) && !PyLong_Check(value.ptr())) {
    node.fail(key, value, "a number");
  }
  const double number = PyFloat_AsDouble(value.ptr());
  if (PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    node.fail(key, value, "a number that float64 holds");
  }
  return number;
}

MemberSpec read_member(const Node& node) {
  MemberSpec member;
  member.what = node.text("what");
  if (member.what == "constant") {
    member.to = node.text("to");
    member.constant = read_double(node, "value");
    return member;
  }
  if (member.what == "columns") {
    const std::string side = node.text("side");
    if (side != "bid" && side != "ask") {
      node.fail("side", node.at("side"), "'bid' or 'ask'");
    }
    (side == "bid" ? member.bid : member.ask) = read_side(node);
    read_rows(node, member);
    return member;
  }
  member.number = node.integer("number");
  if (member.what == "value") {
    member.type = node.text("type");
    member.to = node.text("to");
    member.divisor = node.integer("divisor");
    member.unit = node.maybe_text("unit");
    member.shift_s = node.integer("shift_s");
    member.digits = node.maybe_integer("digits");
    member.absent = node.maybe_integer("absent");
    member.default_value = node.maybe_integer("default");
  } else if (member.what == "key") {
    member.type = node.text("type");
    member.shift = node.integer("shift");
    member.mask = node.bits("mask");
  } else if (member.what == "levels") {
    member.bid = node.maybe("bid", read_side);
    member.ask = node.maybe("ask", read_side);
    member.position = node.maybe("position", read_column);
    read_rows(node, member);
  } else if (member.what == "sub" || member.what == "records") {
    member.members = node.each("members", read_member);
    member.shape = node.maybe("shape", read_shape);
    if (member.what == "sub") {
      member.only_if = node.maybe("only_if", read_only);
    }
  }
  return member;
}

StreamSpec read_stream(py::handle spec) {
  StreamSpec stream;
  stream.name = Node(spec, "protobuf stream").text("name");
  const Node node(spec, "stream '" + stream.name + "'");
  stream.members = node.each("members", read_member);
  stream.shape = node.maybe("shape", read_shape);
  stream.control_when = node.maybe("control_when", read_only);
  stream.merge = node.flag("merge");
  stream.merge_shapes = node.flag("merge_shapes");
  stream.max_records = node.integer("max_records");
  return stream;
}

}  // namespace

void bind_layout_protobuf(py::module_& m) {
  m.def(
      "compile_protobuf",
      [](const py::handle& spec) {
        using dragoman::protobuf::Decoder;
        using dragoman::protobuf::Layout;
        return PyLayout::of<Layout, Decoder>(dragoman::protobuf::compile(read_stream(spec)));
      },
      py::arg("spec"));
}

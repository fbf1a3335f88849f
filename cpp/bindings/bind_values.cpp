#include <Python.h>
#include <structmember.h>

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>

#include "bindings.hpp"
#include "py_values.hpp"

namespace py = pybind11;

/// Copies of frozen, slotted dataclass values: a copy takes the pointers of the other over and replaces those
/// that change.
///
/// The names of a call's keywords are one constant tuple of the calling code, so where they lie is kept by
/// that tuple's identity: calls from the same line look nothing up by name.
///
/// Everything here runs under the GIL.
namespace {

/// Read the layout of a dataclass; raise TypeError where its fields are not all slots of their own.
SlotLayout layout_of(PyTypeObject* type) {
  const py::handle kind(reinterpret_cast<PyObject*>(type));
  const std::string name = type->tp_name;
  if (!py::hasattr(kind, "__dataclass_fields__") || py::hasattr(kind, "__post_init__")) {
    throw py::type_error(name + " cannot be copied: expected a dataclass without __post_init__");
  }
  if (type->tp_dictoffset != 0) {
    throw py::type_error(name + " cannot be copied: it has a __dict__, expected slots only");
  }
  SlotLayout found;
  py::dict index;
  for (auto field : py::dict(kind.attr("__dataclass_fields__"))) {
    const py::object slot = kind.attr(field.first);
    if (Py_TYPE(slot.ptr()) != &PyMemberDescr_Type) {
      throw py::type_error(name + " cannot be copied: " + std::string(py::str(field.first)) + " is no slot");
    }
    const PyMemberDef* member = reinterpret_cast<PyMemberDescrObject*>(slot.ptr())->d_member;
    if (member->type != T_OBJECT_EX) {
      throw py::type_error(name + " cannot be copied: " + std::string(py::str(field.first)) +
                           " is no object");
    }
    found.offsets.push_back(member->offset);
    index[field.first] = py::int_(member->offset);
  }
  found.index = index.release().ptr();
  return found;
}

/// One line of code that copies: the classes, and the names of what it takes over and of what it changes.
/// Sites stand in tables by the addresses of their keys, which they hold, so that an address means nothing
/// else meanwhile.
struct Site {
  PyTypeObject* type = nullptr;
  PyTypeObject* from = nullptr;
  PyObject* taken = nullptr;
  PyObject* names = nullptr;
  const SlotLayout* layout = nullptr;
  std::vector<Py_ssize_t> sources;  // of what is taken over, in the other value
  std::vector<Py_ssize_t> targets;  // and here
  std::vector<Py_ssize_t> offsets;  // of what changes, in the order of the names
};

/// Append the offsets of `names` (a tuple, or null for none) to `offsets`; false with an exception set.
bool look_up(PyTypeObject* type, const SlotLayout& layout, PyObject* names,
             std::vector<Py_ssize_t>& offsets) {
  const Py_ssize_t count = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  for (Py_ssize_t i = 0; i < count; ++i) {
    const Py_ssize_t offset = offset_of(type, layout, PyTuple_GET_ITEM(names, i));
    if (offset < 0) {
      return false;
    }
    offsets.push_back(offset);
  }
  return true;
}

std::uintptr_t bits(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) >> 4;
}

/// Return the site of a call; null with an exception where a name is no field. `from` and `taken` are null
/// for a plain copy.
const Site* known_site(PyTypeObject* type, PyTypeObject* from, PyObject* taken, PyObject* names) {
  static std::array<Site, 256> sites;
  Site& site = sites[(bits(names) ^ (bits(type) >> 2) ^ bits(taken)) % sites.size()];
  if (site.type == type && site.names == names && site.from == from && site.taken == taken) {
    return &site;
  }
  try {
    Site found{type, from, taken, names, &known_layout(type), {}, {}, {}};
    if (!look_up(type, *found.layout, names, found.offsets) ||
        !look_up(type, *found.layout, taken, found.targets) ||
        (from != nullptr && !look_up(from, known_layout(from), taken, found.sources))) {
      return nullptr;
    }
    Py_XINCREF(names);
    Py_XINCREF(taken);
    std::swap(site, found);
    Py_XDECREF(found.names);
    Py_XDECREF(found.taken);
  } catch (py::error_already_set& error) {
    error.restore();
    return nullptr;
  } catch (const py::builtin_exception& error) {
    error.set_error();
    return nullptr;
  }
  return &site;
}

void put(PyObject* value, Py_ssize_t offset, PyObject* held) {
  PyObject** slot = slot_at(value, offset);
  PyObject* old = *slot;
  Py_XINCREF(held);
  *slot = held;
  Py_XDECREF(old);
}

PyObject* made(PyObject* value, PyObject* other, PyObject* taken, PyObject* const* changed, PyObject* names) {
  PyTypeObject* type = Py_TYPE(value);
  PyTypeObject* from = other == nullptr ? nullptr : Py_TYPE(other);
  const Site* site = known_site(type, from, taken, names);
  if (site == nullptr) {
    return nullptr;
  }
  PyObject* copy = type->tp_alloc(type, 0);
  if (copy == nullptr) {
    return nullptr;
  }
  // Once more: the allocation may have collected garbage, and what ended there may have copied, too.
  site = known_site(type, from, taken, names);
  if (site == nullptr) {
    Py_DECREF(copy);
    return nullptr;
  }
  for (const Py_ssize_t offset : site->layout->offsets) {
    PyObject* held = *slot_at(value, offset);
    Py_XINCREF(held);
    *slot_at(copy, offset) = held;
  }
  // What is replaced is held by `value` still, so nothing ends here and no code of others runs.
  for (std::size_t i = 0; i < site->sources.size(); ++i) {
    put(copy, site->targets[i], *slot_at(other, site->sources[i]));
  }
  for (const Py_ssize_t offset : site->offsets) {
    put(copy, offset, *changed++);
  }
  return copy;
}

PyObject* copied(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  if (count != 1) {
    PyErr_Format(PyExc_TypeError, "copied takes one value and its changes by name, found %zd values", count);
    return nullptr;
  }
  return made(args[0], nullptr, nullptr, args + 1, names);
}

PyObject* taking(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  if (count != 3 || !PyTuple_CheckExact(args[2])) {
    PyErr_SetString(PyExc_TypeError,
                    "taking takes a value, another, a tuple of the fields to take over, and changes by name");
    return nullptr;
  }
  return made(args[0], args[1], args[2], args + 3, names);
}

/// Whether two values of one class agree in the fields of a tuple of names.
PyObject* alike(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 3 || !PyTuple_CheckExact(args[2])) {
    PyErr_SetString(PyExc_TypeError, "alike takes two values and a tuple of the fields to compare");
    return nullptr;
  }
  if (Py_TYPE(args[0]) != Py_TYPE(args[1])) {
    Py_RETURN_FALSE;
  }
  const Site* site = known_site(Py_TYPE(args[0]), nullptr, nullptr, args[2]);
  if (site == nullptr) {
    return nullptr;
  }
  if (args[0] == args[1]) {
    Py_RETURN_TRUE;
  }
  // A comparison may run code of others, which may copy: the site is not looked at after it.
  const std::vector<Py_ssize_t>& offsets = site->offsets;
  std::size_t at = 0;
  while (at < offsets.size() && *slot_at(args[0], offsets[at]) == *slot_at(args[1], offsets[at])) {
    ++at;
  }
  if (at == offsets.size()) {
    Py_RETURN_TRUE;
  }
  for (const Py_ssize_t offset :
       std::vector<Py_ssize_t>(offsets.begin() + static_cast<Py_ssize_t>(at), offsets.end())) {
    const int same = PyObject_RichCompareBool(*slot_at(args[0], offset), *slot_at(args[1], offset), Py_EQ);
    if (same <= 0) {
      return same < 0 ? nullptr : Py_NewRef(Py_False);
    }
  }
  Py_RETURN_TRUE;
}

PyCFunction function(PyObject* (*call)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(call));
}

PyMethodDef kMethods[] = {
    {"alike", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(alike)), METH_FASTCALL,
     "alike(value, other, names, /)\n--\n\nWhether two dataclass values of one class agree in these "
     "fields."},
    {"copied", function(copied), METH_FASTCALL | METH_KEYWORDS,
     "copied(value, /, **changes)\n--\n\nReturn a copy of a frozen, slotted dataclass value with `changes`."},
    {"taking", function(taking), METH_FASTCALL | METH_KEYWORDS,
     "taking(value, other, names, /, **changes)\n--\n\nReturn a copy that takes fields over from another "
     "value."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

const SlotLayout& known_layout(PyTypeObject* type) {
  static std::unordered_map<PyTypeObject*, SlotLayout> known;
  const auto at = known.find(type);
  if (at != known.end()) {
    return at->second;
  }
  SlotLayout layout = layout_of(type);
  Py_INCREF(type);
  return known.emplace(type, std::move(layout)).first->second;
}

Py_ssize_t offset_of(PyTypeObject* type, const SlotLayout& layout, PyObject* name) {
  PyObject* offset = PyDict_GetItemWithError(layout.index, name);
  if (offset == nullptr) {
    if (!PyErr_Occurred()) {
      PyErr_Format(PyExc_TypeError, "%s has no field %R", type->tp_name, name);
    }
    return -1;
  }
  return PyLong_AsSsize_t(offset);
}

void bind_values(py::module_& m) {
  if (PyModule_AddFunctions(m.ptr(), kMethods) != 0) {
    throw py::error_already_set();
  }
  // A builtin does not bind to an instance by itself; in this wrapping it is a method of the class it stands
  // in.
  m.attr("copying") = py::reinterpret_steal<py::object>(PyInstanceMethod_New(m.attr("copied").ptr()));
}

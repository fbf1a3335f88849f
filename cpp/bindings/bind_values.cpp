#include <Python.h>
#include <structmember.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "bindings.hpp"

namespace py = pybind11;

/// Copies of frozen, slotted dataclass values. Such a value is a row of object pointers at fixed offsets: a
/// copy takes the pointers over and replaces those that change. Which offset a field has is looked up once
/// for each class.
///
/// Everything here runs under the GIL. A class that was copied once is kept for the life of the process.
namespace {

struct SlotLayout {
  std::vector<Py_ssize_t> offsets;
  PyObject* index = nullptr;  // field name -> offset
};

PyObject** slot_at(PyObject* value, Py_ssize_t offset) {
  return reinterpret_cast<PyObject**>(reinterpret_cast<char*>(value) + offset);
}

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

PyObject* copied(PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  if (count != 1) {
    PyErr_Format(PyExc_TypeError, "copied takes one value and its changes by name, found %zd values", count);
    return nullptr;
  }
  PyObject* value = args[0];
  PyTypeObject* type = Py_TYPE(value);
  const SlotLayout* layout = nullptr;
  try {
    layout = &known_layout(type);
  } catch (py::error_already_set& error) {
    error.restore();
    return nullptr;
  } catch (const py::builtin_exception& error) {
    error.set_error();
    return nullptr;
  }
  PyObject* copy = type->tp_alloc(type, 0);
  if (copy == nullptr) {
    return nullptr;
  }
  for (const Py_ssize_t offset : layout->offsets) {
    PyObject* held = *slot_at(value, offset);
    Py_XINCREF(held);
    *slot_at(copy, offset) = held;
  }
  const Py_ssize_t changes = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  for (Py_ssize_t i = 0; i < changes; ++i) {
    PyObject* name = PyTuple_GET_ITEM(names, i);
    PyObject* offset = PyDict_GetItemWithError(layout->index, name);
    if (offset == nullptr) {
      if (!PyErr_Occurred()) {
        PyErr_Format(PyExc_TypeError, "%s has no field %R", type->tp_name, name);
      }
      Py_DECREF(copy);
      return nullptr;
    }
    PyObject* changed = args[count + i];
    Py_INCREF(changed);
    PyObject** slot = slot_at(copy, PyLong_AsSsize_t(offset));
    PyObject* old = *slot;
    *slot = changed;
    Py_XDECREF(old);
  }
  return copy;
}

PyMethodDef kMethods[] = {
    {"copied", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(copied)),
     METH_FASTCALL | METH_KEYWORDS,
     "copied(value, /, **changes)\n--\n\nReturn a copy of a frozen, slotted dataclass value with `changes`."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void bind_values(py::module_& m) {
  if (PyModule_AddFunctions(m.ptr(), kMethods) != 0) {
    throw py::error_already_set();
  }
}

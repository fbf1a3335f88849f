#pragma once

#include <Python.h>

#include <vector>

/// Where the fields of a frozen, slotted dataclass lie: a value of one is a row of object pointers at fixed
/// offsets.
struct SlotLayout {
  std::vector<Py_ssize_t> offsets;
  PyObject* index = nullptr;  // field name -> offset
};

inline PyObject** slot_at(PyObject* value, Py_ssize_t offset) {
  return reinterpret_cast<PyObject**>(reinterpret_cast<char*>(value) + offset);
}

/// The layout of a dataclass, looked up once for each class, which is kept for the life of the process.
/// Throws pybind11's type_error where the fields are not all slots of their own. Needs the GIL.
const SlotLayout& known_layout(PyTypeObject* type);

/// The offset of a field; -1 with an exception where there is none of that name.
Py_ssize_t offset_of(PyTypeObject* type, const SlotLayout& layout, PyObject* name);

#include "py_table.hpp"

#include <cstdint>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "py_batch.hpp"
#include "py_record.hpp"

namespace {

using dragoman::BatchView;
using dragoman::Record;

/// The slots behind a tuple of names. Callers pass the same constant tuple at every frame, so the last one is
/// kept: tuples cannot change, and one that is held cannot give its identity to another.
struct Selection {
  PyObject* names = nullptr;
  std::vector<std::uint8_t> slots;
};

bool find_slot(PyObject* name, std::vector<std::uint8_t>& slots) {
  const char* const text = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : nullptr;
  if (text == nullptr && PyErr_Occurred() != nullptr) {
    return false;
  }
  for (std::size_t i = 0; text != nullptr && i < dragoman::kSlots; ++i) {
    if (std::strcmp(text, record_attributes::kSlotNames[i]) == 0) {
      slots.push_back(static_cast<std::uint8_t>(i));
      return true;
    }
  }
  PyErr_Format(PyExc_ValueError, "batch: %R is not a field of a record, expected names from FIELDS", name);
  return false;
}

/// Null with the error set where `names` is not a tuple of fields. Good until other names are asked for.
const Selection* selection(PyObject* names) try {
  static Selection last;
  if (names == last.names) {
    return &last;
  }
  if (!PyTuple_CheckExact(names)) {
    PyErr_Format(PyExc_TypeError, "batch: found %s, expected a tuple of field names",
                 Py_TYPE(names)->tp_name);
    return nullptr;
  }
  std::vector<std::uint8_t> slots;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); ++i) {
    if (!find_slot(PyTuple_GET_ITEM(names, i), slots)) {
      return nullptr;
    }
  }
  last.slots = std::move(slots);
  Py_XSETREF(last.names, Py_NewRef(names));
  return &last;
} catch (const std::bad_alloc&) {
  PyErr_NoMemory();
  return nullptr;
}

PyObject* empty_array(Py_ssize_t rows, Py_ssize_t columns) {
  static PyObject* empty = nullptr;
  if (empty == nullptr) {
    PyObject* const numpy = PyImport_ImportModule("numpy");
    empty = numpy != nullptr ? PyObject_GetAttrString(numpy, "empty") : nullptr;
    Py_XDECREF(numpy);
    if (empty == nullptr) {
      return nullptr;
    }
  }
  PyObject* const shape = Py_BuildValue("(nn)", rows, columns);
  PyObject* const array = shape != nullptr ? PyObject_CallOneArg(empty, shape) : nullptr;
  Py_XDECREF(shape);
  return array;
}

}  // namespace

PyObject* batch_table(PyObject* self, PyObject* names) {
  const BatchView* const view = dragoman_batch_view(self);
  const Selection* chosen = view != nullptr ? selection(names) : nullptr;
  if (chosen == nullptr) {
    return nullptr;
  }
  const std::size_t width = chosen->slots.size();
  const auto rows = static_cast<Py_ssize_t>(view->record_count);
  PyObject* const array = empty_array(rows, static_cast<Py_ssize_t>(width));
  Py_buffer buffer;
  if (array == nullptr || PyObject_GetBuffer(array, &buffer, PyBUF_WRITABLE) != 0) {
    Py_XDECREF(array);
    return nullptr;
  }
  // Making the array may have run a finalizer that asked for other names; nothing runs from here on.
  chosen = selection(names);
  if (chosen == nullptr) {
    PyBuffer_Release(&buffer);
    Py_DECREF(array);
    return nullptr;
  }
  auto* to = static_cast<double*>(buffer.buf);
  for (const Record* record = view->records; record != view->records + view->record_count; ++record) {
    for (std::size_t i = 0; i < width; ++i) {
      *to++ = record->values[chosen->slots[i]];
    }
  }
  PyBuffer_Release(&buffer);
  return array;
}

#include "py_table.hpp"

#include <pybind11/numpy.h>

#include <cstdint>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "py_batch.hpp"
#include "py_record.hpp"

namespace py = pybind11;

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

/// Copy the chosen values of all records, record by record.
///
/// What is known before the loop is in locals: a store of a double may, for all the compiler knows, change
/// the choice.
void copy_values(const BatchView& view, const Selection& chosen, double* to) noexcept {
  const std::uint8_t* const slots = chosen.slots.data();
  const std::size_t width = chosen.slots.size();
  const Record* const end = view.records + view.record_count;
  for (const Record* record = view.records; record != end; ++record, to += width) {
    for (std::size_t i = 0; i < width; ++i) {
      to[i] = record->values[slots[i]];
    }
  }
}

}  // namespace

/// The array is made by NumPy's C interface: a call of `numpy.empty` and the buffer protocol cost more than
/// the copy of a frame, most of all where the frame is the first after a pause and none of their code is
/// cached.
PyObject* batch_table(PyObject* self, PyObject* names) try {
  const BatchView* const view = dragoman_batch_heads(self);
  const Selection* chosen = view != nullptr ? selection(names) : nullptr;
  if (chosen == nullptr) {
    return nullptr;
  }
  py::array_t<double> array({view->record_count, chosen->slots.size()});
  // Making the array may have run a finalizer that asked for other names; nothing runs from here on.
  chosen = selection(names);
  if (chosen == nullptr) {
    return nullptr;
  }
  copy_values(*view, *chosen, array.mutable_data());
  return array.release().ptr();
} catch (py::error_already_set& error) {
  error.restore();
  return nullptr;
} catch (const std::bad_alloc&) {
  return PyErr_NoMemory();
}

#include "py_rows.hpp"

#include <array>
#include <cstdint>
#include <cstring>

#include "py_batch.hpp"
#include "py_record.hpp"

namespace {

using dragoman::Record;

constexpr std::size_t kMostColumns = 64;

/// What a column reads: a slot of the record, or from kSlots on one of `kOthers`.
using Column = std::uint8_t;

struct Other {
  const char* name;
  PyObject* (*read)(const Record&);
};

constexpr Other kOthers[] = {
    {"instrument", [](const Record& r) { return PyLong_FromLong(r.instrument); }},
    {"instrument_id", [](const Record& r) { return record_attributes::instrument_id(r.instrument); }},
    {"key", [](const Record& r) { return PyLong_FromLongLong(r.key); }},
    {"kind", record_attributes::kind},
    {"mode", record_attributes::mode},
    {"ts_recv", [](const Record& r) { return PyLong_FromLongLong(r.ts_recv); }},
    {"ts_event", [](const Record& r) { return record_attributes::integer_or_none(r.ts_event); }},
    {"last_trade_time",
     [](const Record& r) { return record_attributes::integer_or_none(r.last_trade_time); }},
    {"sequence", [](const Record& r) { return record_attributes::integer_or_none(r.sequence); }},
    {"prev_sequence", [](const Record& r) { return record_attributes::integer_or_none(r.prev_sequence); }},
};

/// Rows are given by turns from two tuples, so that what a loop's variables still hold is of the other one:
/// the numbers of a row come back to it alone, and are written over.
struct PyRows {
  PyObject_HEAD PyObject* batch;
  const Record* next;
  const Record* end;
  PyObject* rows[2];  // given again where nobody kept them
  std::size_t turn;
  std::size_t width;
  Column columns[kMostColumns];
};

PyTypeObject* rows_type = nullptr;
PyRows* spare = nullptr;  // the last iterator that ended, with its row: the next frame needs one like it

PyRows& rows_of(PyObject* self) {
  return *reinterpret_cast<PyRows*>(self);
}

bool find_column(PyObject* name, Column& column) {
  const char* const text = PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : nullptr;
  for (std::size_t i = 0; text != nullptr && i < dragoman::kSlots; ++i) {
    if (std::strcmp(text, record_attributes::kSlotNames[i]) == 0) {
      column = static_cast<Column>(i);
      return true;
    }
  }
  for (std::size_t i = 0; text != nullptr && i < std::size(kOthers); ++i) {
    if (std::strcmp(text, kOthers[i].name) == 0) {
      column = static_cast<Column>(dragoman::kSlots + i);
      return true;
    }
  }
  if (PyErr_Occurred() == nullptr) {
    PyErr_Format(PyExc_ValueError, "batch: %R is not an attribute of a record that rows can have", name);
  }
  return false;
}

/// The columns behind a tuple of names. Callers pass the same constant tuple at every frame, so the last one
/// is kept: tuples cannot change, and one that is held cannot give its identity to another.
struct Selection {
  PyObject* names = nullptr;
  std::size_t width = 0;
  std::array<Column, kMostColumns> columns;
};

const Selection* selection(PyObject* names) {
  static Selection last;
  if (names == last.names) [[likely]] {
    return &last;
  }
  if (!PyTuple_CheckExact(names)) {
    PyErr_Format(PyExc_TypeError, "batch: found %s, expected a tuple of names", Py_TYPE(names)->tp_name);
    return nullptr;
  }
  const auto width = static_cast<std::size_t>(PyTuple_GET_SIZE(names));
  if (width > kMostColumns) {
    PyErr_Format(PyExc_ValueError, "batch: %zu names, expected at most %zu", width, kMostColumns);
    return nullptr;
  }
  std::array<Column, kMostColumns> columns{};
  for (std::size_t i = 0; i < width; ++i) {
    if (!find_column(PyTuple_GET_ITEM(names, static_cast<Py_ssize_t>(i)), columns[i])) {
      return nullptr;
    }
  }
  last.width = width;
  last.columns = columns;
  Py_XSETREF(last.names, Py_NewRef(names));
  return &last;
}

/// A tuple to fill: one given before where the loop has let it go, as `for a, b in rows` does.
PyObject* row_to_fill(PyRows& rows) {
  rows.turn ^= 1u;
  PyObject*& row = rows.rows[rows.turn];
  if (row == nullptr || Py_REFCNT(row) != 1) {
    PyObject* const made = PyTuple_New(static_cast<Py_ssize_t>(rows.width));
    if (made == nullptr) {
      return nullptr;
    }
    PyObject_GC_UnTrack(made);  // numbers and text make no cycles
    Py_XSETREF(row, made);
  }
  return row;
}

PyObject* read_column(const Record& record, Column column) {
  return column < dragoman::kSlots ? record_attributes::slot(record, column)
                                   : kOthers[column - dragoman::kSlots].read(record);
}

PyObject* rows_next(PyObject* self) {
  PyRows& rows = rows_of(self);
  if (rows.next == rows.end) {
    return nullptr;
  }
  PyObject* const row = row_to_fill(rows);
  if (row == nullptr) {
    return nullptr;
  }
  const Record& record = *rows.next++;
  auto* const items = reinterpret_cast<PyTupleObject*>(row)->ob_item;
  for (std::size_t i = 0; i < rows.width; ++i) {
    const Column column = rows.columns[i];
    PyObject* const old = items[i];
    if (column < dragoman::kSlots && (record.present >> column & 1u) != 0 && old != nullptr &&
        Py_REFCNT(old) == 1 && PyFloat_CheckExact(old)) [[likely]] {
      // Nobody else holds it, nor the tuple: the number cannot be seen to change.
      reinterpret_cast<PyFloatObject*>(old)->ob_fval = record.values[column];
      continue;
    }
    PyObject* const value = read_column(record, column);
    if (value == nullptr) {
      return nullptr;
    }
    items[i] = value;
    Py_XDECREF(old);
  }
  return Py_NewRef(row);
}

void rows_dealloc(PyObject* self) {
  PyRows& rows = rows_of(self);
  Py_CLEAR(rows.batch);
  if (spare == nullptr) {
    spare = &rows;
    return;
  }
  PyTypeObject* const type = Py_TYPE(self);
  Py_XDECREF(rows.rows[0]);
  Py_XDECREF(rows.rows[1]);
  PyObject_Free(self);
  Py_DECREF(type);
}

PyRows* new_rows(std::size_t width) {
  PyRows* rows = spare;
  if (rows == nullptr) {
    rows = PyObject_New(PyRows, rows_type);
    if (rows != nullptr) {
      rows->rows[0] = rows->rows[1] = nullptr;
      rows->turn = 0;
    }
    return rows;
  }
  spare = nullptr;
  if (rows->width != width) {
    Py_CLEAR(rows->rows[0]);
    Py_CLEAR(rows->rows[1]);
  }
  _Py_NewReference(reinterpret_cast<PyObject*>(rows));  // it has its type still
  return rows;
}

}  // namespace

PyObject* batch_rows(PyObject* self, PyObject* names) {
  const Selection* const chosen = selection(names);
  PyRows* const rows = chosen != nullptr ? new_rows(chosen->width) : nullptr;
  if (rows == nullptr) {
    return nullptr;
  }
  const dragoman::BatchView& view = *dragoman_batch_heads(self);
  rows->batch = Py_NewRef(self);  // and so its records stay where and as they are
  rows->next = view.records;
  rows->end = view.records + view.record_count;
  rows->width = chosen->width;
  std::memcpy(rows->columns, chosen->columns.data(), chosen->width);
  return reinterpret_cast<PyObject*>(rows);
}

bool add_rows_type() {
  PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(rows_dealloc)},
                         {Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
                         {Py_tp_iternext, reinterpret_cast<void*>(rows_next)},
                         {0, nullptr}};
  PyType_Spec spec = {"dragoman._core._Rows", sizeof(PyRows), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
                      slots};
  rows_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return rows_type != nullptr;
}

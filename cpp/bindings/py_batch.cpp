#include "py_batch.hpp"

#include <cstring>
#include <new>
#include <utility>

#include "py_arrow.hpp"
#include "py_cursor.hpp"
#include "py_record.hpp"
#include "py_rows.hpp"
#include "py_table.hpp"
#include "py_tick.hpp"

/// A `Batch` owns one block. Arrays, cursors and iterators hold a reference to the batch, so its reference
/// count alone says whether the decoder may fill the block again: there is no second bookkeeping that could
/// be wrong.
namespace {

using dragoman::BatchView;
using dragoman::Block;
using dragoman::Level;
using dragoman::Record;

struct PyBatch {
  PyObject_HEAD Block block;
  std::shared_ptr<std::int64_t> alive;
};

/// What a NumPy array holds: one of the two arrays of a batch, by the buffer protocol.
struct PyBatchArray {
  PyObject_HEAD PyObject* batch;
  bool levels;
};

PyTypeObject* batch_type = nullptr;
PyTypeObject* array_type = nullptr;

PyBatch* batch_of(PyObject* self) {
  return reinterpret_cast<PyBatch*>(self);
}
/// What is there before levels are read; enough for whoever reads values only.
const BatchView& heads_of(PyObject* self) {
  return batch_of(self)->block.view;
}
const BatchView& view_of(PyObject* self) {
  Block& block = batch_of(self)->block;
  block.read_levels();
  return block.view;
}

void batch_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyBatch* const batch = batch_of(self);
  --*batch->alive;
  batch->alive.~shared_ptr();
  batch->block.~Block();
  PyObject_Free(self);
  Py_DECREF(type);
}

Py_ssize_t batch_length(PyObject* self) {
  return static_cast<Py_ssize_t>(heads_of(self).record_count);
}

const Record* record_at(PyObject* self, Py_ssize_t index) {
  const BatchView& view = view_of(self);
  if (index < 0 || static_cast<std::size_t>(index) >= view.record_count) {
    PyErr_Format(PyExc_IndexError, "batch: index %zd, expected one of %zu records", index, view.record_count);
    return nullptr;
  }
  return view.records + index;
}

PyObject* batch_item(PyObject* self, Py_ssize_t index) {
  const Record* const record = record_at(self, index);
  return record != nullptr ? make_tick(*record) : nullptr;
}

PyObject* batch_cursor(PyObject* self, PyObject*) {
  return make_cursor(self);
}

PyObject* level_tuple(const Level* level, const Level* end, dragoman::Side side) {
  const auto belongs = [side](const Level& one) {
    return one.side == side && one.action != dragoman::Action::clear;
  };
  Py_ssize_t count = 0;
  for (const Level* one = level; one != end; ++one) {
    count += belongs(*one);
  }
  PyObject* const tuple = PyTuple_New(count);
  Py_ssize_t index = 0;
  for (; tuple != nullptr && level != end; ++level) {
    if (!belongs(*level)) {
      continue;
    }
    PyObject* const row = Py_BuildValue("(ddI)", level->price, level->quantity, level->orders);
    if (row == nullptr) {
      Py_DECREF(tuple);
      return nullptr;
    }
    PyTuple_SET_ITEM(tuple, index++, row);
  }
  return tuple;
}

PyObject* batch_levels(PyObject* self, PyObject* given) {
  Py_ssize_t index = PyNumber_AsSsize_t(given, PyExc_IndexError);
  if (index == -1 && PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  if (index < 0) {
    index += batch_length(self);
  }
  const Record* const record = record_at(self, index);
  if (record == nullptr) {
    return nullptr;
  }
  const Level* const first = view_of(self).levels + record->level_begin;
  const Level* const end = first + record->level_count;
  PyObject* const bids = level_tuple(first, end, dragoman::Side::bid);
  PyObject* const asks = bids != nullptr ? level_tuple(first, end, dragoman::Side::ask) : nullptr;
  if (asks == nullptr) {
    Py_XDECREF(bids);
    return nullptr;
  }
  return Py_BuildValue("(NN)", bids, asks);
}

/// A NumPy array over one of the batch's arrays; NumPy is imported when the first is asked for.
PyObject* numpy_view(PyObject* self, bool levels) {
  static PyObject* ndarray = nullptr;
  static PyObject* dtypes[2] = {nullptr, nullptr};
  if (ndarray == nullptr) {
    PyObject* const numpy = PyImport_ImportModule("numpy");
    PyObject* const core = PyImport_ImportModule("dragoman._core");
    const char* const names[2] = {"RECORD_DTYPE", "LEVEL_DTYPE"};
    for (std::size_t i = 0; numpy != nullptr && core != nullptr && i < 2; ++i) {
      PyObject* const description = PyObject_GetAttrString(core, names[i]);
      PyObject* const dtype =
          description != nullptr ? PyObject_CallMethod(numpy, "dtype", "O", description) : nullptr;
      Py_XDECREF(description);
      if (dtype == nullptr) {
        break;
      }
      Py_XSETREF(dtypes[i], dtype);
    }
    if (dtypes[1] != nullptr) {
      ndarray = PyObject_GetAttrString(numpy, "ndarray");
    }
    Py_XDECREF(core);
    Py_XDECREF(numpy);
    if (ndarray == nullptr) {
      return nullptr;
    }
  }
  PyBatchArray* const array = PyObject_New(PyBatchArray, array_type);
  if (array == nullptr) {
    return nullptr;
  }
  array->batch = Py_NewRef(self);
  array->levels = levels;
  const BatchView& view = view_of(self);
  const auto count = static_cast<Py_ssize_t>(levels ? view.level_count : view.record_count);
  PyObject* const result = PyObject_CallFunction(ndarray, "(n)OO", count, dtypes[levels ? 1 : 0],
                                                 reinterpret_cast<PyObject*>(array));
  Py_DECREF(array);
  return result;
}

PyObject* get_records(PyObject* self, void*) {
  return numpy_view(self, false);
}
PyObject* get_level_ops(PyObject* self, void*) {
  return numpy_view(self, true);
}

PyObject* get_control(PyObject* self, void*) {
  const auto& ranges = batch_of(self)->block.control;
  PyObject* const tuple = PyTuple_New(static_cast<Py_ssize_t>(ranges.size()));
  for (std::size_t i = 0; tuple != nullptr && i < ranges.size(); ++i) {
    PyObject* const range = Py_BuildValue("(II)", ranges[i].begin, ranges[i].end);
    if (range == nullptr) {
      Py_DECREF(tuple);
      return nullptr;
    }
    PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), range);
  }
  return tuple;
}

PyObject* get_errors(PyObject* self, void*) {
  return PyLong_FromUnsignedLong(heads_of(self).errors);
}
PyObject* get_ts_recv(PyObject* self, void*) {
  return PyLong_FromLongLong(heads_of(self).ts_recv);
}

PyObject* batch_repr(PyObject* self) {
  const BatchView& view = view_of(self);
  return PyUnicode_FromFormat("Batch(%zu records, %zu levels, %u errors)", view.record_count,
                              view.level_count, view.errors);
}

void array_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  Py_DECREF(reinterpret_cast<PyBatchArray*>(self)->batch);
  PyObject_Free(self);
  Py_DECREF(type);
}

int array_buffer(PyObject* self, Py_buffer* buffer, int flags) {
  static const char empty = 0;
  const auto* const array = reinterpret_cast<PyBatchArray*>(self);
  const BatchView& view = view_of(array->batch);
  const void* const data = array->levels ? static_cast<const void*>(view.levels) : view.records;
  const std::size_t size =
      array->levels ? view.level_count * sizeof(Level) : view.record_count * sizeof(Record);
  // The buffer protocol has no const; `readonly` is what keeps writers out.
  void* const start = const_cast<void*>(size != 0 ? data : &empty);
  return PyBuffer_FillInfo(buffer, self, start, static_cast<Py_ssize_t>(size), 1, flags);
}

constexpr unsigned kTypeFlags =
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE;

}  // namespace

const BatchView* dragoman_batch_heads(PyObject* object) {
  if (Py_TYPE(object) != batch_type) {
    PyErr_Format(PyExc_TypeError, "found %s, expected a dragoman._core.Batch", Py_TYPE(object)->tp_name);
    return nullptr;
  }
  return &heads_of(object);
}

const BatchView* dragoman_batch_view(PyObject* object) {
  const BatchView* const heads = dragoman_batch_heads(object);
  return heads != nullptr ? &view_of(object) : nullptr;
}

PyObject* make_batch(std::shared_ptr<std::int64_t> alive) {
  PyBatch* const batch = PyObject_New(PyBatch, batch_type);
  if (batch == nullptr) {
    return nullptr;
  }
  new (&batch->block) Block;
  new (&batch->alive) std::shared_ptr<std::int64_t>(std::move(alive));
  ++*batch->alive;
  return reinterpret_cast<PyObject*>(batch);
}

Block& batch_block(PyObject* batch) {
  return batch_of(batch)->block;
}

bool add_batch_type(PyObject* module) {
  static PyMethodDef methods[] = {{"cursor", batch_cursor, METH_NOARGS, nullptr},
                                  {"levels", batch_levels, METH_O, nullptr},
                                  {"rows", batch_rows, METH_O, nullptr},
                                  {"table", batch_table, METH_O, nullptr},
                                  {"__arrow_c_schema__", batch_arrow_schema, METH_NOARGS, nullptr},
                                  {"__arrow_c_array__", record_attributes::as_method(batch_arrow_array),
                                   METH_VARARGS | METH_KEYWORDS, nullptr},
                                  {"__arrow_c_stream__", record_attributes::as_method(batch_arrow_stream),
                                   METH_VARARGS | METH_KEYWORDS, nullptr},
                                  {nullptr, nullptr, 0, nullptr}};
  static PyGetSetDef getters[] = {{"records", get_records, nullptr, nullptr, nullptr},
                                  {"level_ops", get_level_ops, nullptr, nullptr, nullptr},
                                  {"control", get_control, nullptr, nullptr, nullptr},
                                  {"errors", get_errors, nullptr, nullptr, nullptr},
                                  {"ts_recv", get_ts_recv, nullptr, nullptr, nullptr},
                                  {nullptr, nullptr, nullptr, nullptr, nullptr}};
  PyType_Slot batch_slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(batch_dealloc)},
                               {Py_tp_repr, reinterpret_cast<void*>(batch_repr)},
                               {Py_sq_length, reinterpret_cast<void*>(batch_length)},
                               {Py_sq_item, reinterpret_cast<void*>(batch_item)},
                               {Py_tp_iter, reinterpret_cast<void*>(PySeqIter_New)},
                               {Py_tp_methods, methods},
                               {Py_tp_getset, getters},
                               {0, nullptr}};
  PyType_Spec batch_spec = {"dragoman._core.Batch", sizeof(PyBatch), 0, kTypeFlags, batch_slots};
  PyType_Slot array_slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(array_dealloc)},
                               {Py_bf_getbuffer, reinterpret_cast<void*>(array_buffer)},
                               {0, nullptr}};
  PyType_Spec array_spec = {"dragoman._core._BatchArray", sizeof(PyBatchArray), 0, kTypeFlags, array_slots};
  batch_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&batch_spec));
  array_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&array_spec));
  return batch_type != nullptr && array_type != nullptr && add_rows_type() &&
         PyModule_AddObjectRef(module, "Batch", reinterpret_cast<PyObject*>(batch_type)) == 0;
}

#include <Python.h>
#include <structmember.h>

#include <string>

#include "dragoman/instruments.hpp"
#include "py_book.hpp"

// An immutable value. It holds only tuples of floats and ints, so no reference cycle can pass through it and
// the garbage collector need not know it. Handles are this process's own: pickles carry the canonical id
// instead.

namespace book_types {

namespace {

using dragoman::Side;

struct PySnapshot {
  PyObject_HEAD int instrument;
  bool stale;
  bool crossed;
  long long sequence;
  long long ts_event;
  long long ts_recv;
  PyObject* bids;
  PyObject* asks;
};

PyTypeObject* snapshot_type = nullptr;

PySnapshot* cast(PyObject* self) {
  return reinterpret_cast<PySnapshot*>(self);
}

PyObject* levels_of(const dragoman::BookSide& side, std::size_t levels) {
  const std::size_t count = levels == 0 || levels > side.size() ? side.size() : levels;
  PyObject* tuple = PyTuple_New(static_cast<Py_ssize_t>(count));
  for (std::size_t i = 0; tuple != nullptr && i < count; ++i) {
    PyObject* level = make_level(side.level(i));
    if (level == nullptr) Py_CLEAR(tuple);
    if (tuple != nullptr) PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), level);
  }
  return tuple;
}

/// Read a sequence of (price, quantity, orders) into plain tuples of our own.
PyObject* read_levels(PyObject* given) {
  PyObject* rows = PySequence_Tuple(given);
  if (rows == nullptr) return nullptr;
  PyObject* levels = PyTuple_New(PyTuple_GET_SIZE(rows));
  for (Py_ssize_t i = 0; levels != nullptr && i < PyTuple_GET_SIZE(rows); ++i) {
    dragoman::BookLevel level{};
    PyObject* fields = PySequence_Tuple(PyTuple_GET_ITEM(rows, i));
    const bool read =
        fields != nullptr && PyArg_ParseTuple(fields, "ddI;a level is (price, quantity, orders)",
                                              &level.price, &level.quantity, &level.orders) != 0;
    Py_XDECREF(fields);
    PyObject* plain = read ? make_level(level) : nullptr;
    if (plain == nullptr) {
      Py_CLEAR(levels);
    } else {
      PyTuple_SET_ITEM(levels, i, plain);
    }
  }
  Py_DECREF(rows);
  return levels;
}

bool read_instrument(PyObject* given, int& handle) {
  if (PyUnicode_Check(given)) {
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(given, &size);
    if (text == nullptr) return false;
    try {
      handle = dragoman::intern_instrument({text, static_cast<std::size_t>(size)});
    } catch (const std::exception& error) {
      PyErr_SetString(PyExc_ValueError, error.what());
      return false;
    }
    return true;
  }
  const long long value = PyLong_AsLongLong(given);
  if (value == -1 && PyErr_Occurred() != nullptr) return false;
  PyObject* name = instrument_id(value);
  if (name == nullptr) return false;
  Py_DECREF(name);
  handle = static_cast<int>(value);
  return true;
}

bool read_int_or_none(PyObject* given, long long& value) {
  value = dragoman::kAbsentInt;
  if (given == nullptr || given == Py_None) return true;
  value = PyLong_AsLongLong(given);
  return value != -1 || PyErr_Occurred() == nullptr;
}

PyObject* snapshot_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"instrument", "bids",  "asks",    "sequence", "ts_event",
                                "ts_recv",    "stale", "crossed", nullptr};
  PyObject* instrument = nullptr;
  PyObject* bids = nullptr;
  PyObject* asks = nullptr;
  PyObject* sequence = nullptr;
  PyObject* ts_event = nullptr;
  long long ts_recv = 0;
  int stale = 0;
  int crossed = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|OOLpp:BookSnapshot", const_cast<char**>(names),
                                   &instrument, &bids, &asks, &sequence, &ts_event, &ts_recv, &stale,
                                   &crossed)) {
    return nullptr;
  }
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  PySnapshot* snapshot = cast(self);
  snapshot->ts_recv = ts_recv;
  snapshot->stale = stale != 0;
  snapshot->crossed = crossed != 0;
  if (!read_instrument(instrument, snapshot->instrument) || !read_int_or_none(sequence, snapshot->sequence) ||
      !read_int_or_none(ts_event, snapshot->ts_event) || (snapshot->bids = read_levels(bids)) == nullptr ||
      (snapshot->asks = read_levels(asks)) == nullptr) {
    Py_DECREF(self);
    return nullptr;
  }
  return self;
}

void snapshot_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  Py_XDECREF(cast(self)->bids);
  Py_XDECREF(cast(self)->asks);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* get_sequence(PyObject* self, void*) {
  return int_or_none(cast(self)->sequence);
}
PyObject* get_ts_event(PyObject* self, void*) {
  return int_or_none(cast(self)->ts_event);
}
PyObject* get_instrument_id(PyObject* self, void*) {
  return instrument_id(cast(self)->instrument);
}

/// The arguments that make an equal value, in any process.
PyObject* contents(PyObject* self) {
  const PySnapshot* snapshot = cast(self);
  return Py_BuildValue("NOONNLNN", get_instrument_id(self, nullptr), snapshot->bids, snapshot->asks,
                       get_sequence(self, nullptr), get_ts_event(self, nullptr), snapshot->ts_recv,
                       PyBool_FromLong(snapshot->stale), PyBool_FromLong(snapshot->crossed));
}

PyObject* snapshot_reduce(PyObject* self, PyObject*) {
  PyObject* arguments = contents(self);
  return arguments == nullptr ? nullptr : Py_BuildValue("ON", Py_TYPE(self), arguments);
}

PyObject* snapshot_compare(PyObject* self, PyObject* other, int how) {
  if (Py_TYPE(other) != Py_TYPE(self) || (how != Py_EQ && how != Py_NE)) Py_RETURN_NOTIMPLEMENTED;
  PyObject* mine = contents(self);
  PyObject* theirs = contents(other);
  PyObject* result = mine == nullptr || theirs == nullptr ? nullptr : PyObject_RichCompare(mine, theirs, how);
  Py_XDECREF(mine);
  Py_XDECREF(theirs);
  return result;
}

Py_hash_t snapshot_hash(PyObject* self) {
  PyObject* all = contents(self);
  if (all == nullptr) return -1;
  const Py_hash_t hash = PyObject_Hash(all);
  Py_DECREF(all);
  return hash;
}

PyObject* snapshot_repr(PyObject* self) {
  PyObject* name = get_instrument_id(self, nullptr);
  if (name == nullptr) return nullptr;
  const PySnapshot* snapshot = cast(self);
  PyObject* text =
      PyUnicode_FromFormat("BookSnapshot(%R, bids=%R, asks=%R%s%s)", name, snapshot->bids, snapshot->asks,
                           snapshot->stale ? ", stale=True" : "", snapshot->crossed ? ", crossed=True" : "");
  Py_DECREF(name);
  return text;
}

PyMemberDef snapshot_members[] = {
    {"instrument", T_INT, offsetof(PySnapshot, instrument), READONLY, nullptr},
    {"bids", T_OBJECT_EX, offsetof(PySnapshot, bids), READONLY, nullptr},
    {"asks", T_OBJECT_EX, offsetof(PySnapshot, asks), READONLY, nullptr},
    {"ts_recv", T_LONGLONG, offsetof(PySnapshot, ts_recv), READONLY, nullptr},
    {"stale", T_BOOL, offsetof(PySnapshot, stale), READONLY, nullptr},
    {"crossed", T_BOOL, offsetof(PySnapshot, crossed), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef snapshot_getset[] = {
    {"instrument_id", get_instrument_id, nullptr, nullptr, nullptr},
    {"sequence", get_sequence, nullptr, nullptr, nullptr},
    {"ts_event", get_ts_event, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef snapshot_methods[] = {
    {"__reduce__", snapshot_reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot snapshot_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(snapshot_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(snapshot_dealloc)},
    {Py_tp_richcompare, reinterpret_cast<void*>(snapshot_compare)},
    {Py_tp_hash, reinterpret_cast<void*>(snapshot_hash)},
    {Py_tp_repr, reinterpret_cast<void*>(snapshot_repr)},
    {Py_tp_members, snapshot_members},
    {Py_tp_getset, snapshot_getset},
    {Py_tp_methods, snapshot_methods},
    {0, nullptr},
};

PyType_Spec snapshot_spec = {"dragoman._core.BookSnapshot", sizeof(PySnapshot), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, snapshot_slots};

}  // namespace

PyObject* make_level(const dragoman::BookLevel& level) {
  return Py_BuildValue("ddI", level.price, level.quantity, level.orders);
}

PyObject* int_or_none(std::int64_t value) {
  if (value == dragoman::kAbsentInt) Py_RETURN_NONE;
  return PyLong_FromLongLong(value);
}

PyObject* instrument_id(std::int64_t handle) {
  const std::string_view name = dragoman::instrument_name(handle);
  if (name.empty()) {
    return PyErr_Format(PyExc_IndexError, "no instrument has handle %lld; there are %d",
                        static_cast<long long>(handle), static_cast<int>(dragoman::instrument_count()));
  }
  return PyUnicode_FromStringAndSize(name.data(), static_cast<Py_ssize_t>(name.size()));
}

PyObject* make_snapshot(const dragoman::Book& book, std::size_t levels) {
  PyObject* self = snapshot_type->tp_alloc(snapshot_type, 0);
  if (self == nullptr) return nullptr;
  PySnapshot* snapshot = cast(self);
  snapshot->instrument = book.instrument();
  snapshot->stale = book.stale();
  snapshot->crossed = book.crossed();
  snapshot->sequence = book.sequence();
  snapshot->ts_event = book.ts_event();
  snapshot->ts_recv = book.ts_recv();
  if ((snapshot->bids = levels_of(book.side(Side::bid), levels)) == nullptr ||
      (snapshot->asks = levels_of(book.side(Side::ask), levels)) == nullptr) {
    Py_DECREF(self);
    return nullptr;
  }
  return self;
}

void add_snapshot_type(pybind11::module_& m) {
  auto type = pybind11::reinterpret_steal<pybind11::object>(PyType_FromSpec(&snapshot_spec));
  if (!type) throw pybind11::error_already_set();
  snapshot_type = reinterpret_cast<PyTypeObject*>(type.inc_ref().ptr());
  m.attr("BookSnapshot") = type;
}

}  // namespace book_types

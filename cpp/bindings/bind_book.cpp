#include <algorithm>
#include <new>
#include <string_view>
#include <vector>

#include "bindings.hpp"
#include "dragoman/books.hpp"
#include "py_batch.hpp"
#include "py_book.hpp"

namespace py = pybind11;

namespace book_types {

namespace {

using dragoman::BookCounters;
using dragoman::Books;
using dragoman::SequenceRule;

struct PyBooks {
  PyObject_HEAD Books* books;
};

PyTypeObject* books_type = nullptr;

/// The books as they are after all that came: everything that Python asks goes through here.
Books& books_of(PyObject* self) {
  Books& books = *reinterpret_cast<PyBooks*>(self)->books;
  books.settle();
  return books;
}

bool read_rule(std::string_view name, SequenceRule& rule) {
  if (name == "none") {
    rule = SequenceRule::none;
  } else if (name == "plain") {
    rule = SequenceRule::plain;
  } else if (name == "ranged") {
    rule = SequenceRule::ranged;
  } else if (name == "linked") {
    rule = SequenceRule::linked;
  } else {
    PyErr_Format(PyExc_ValueError, "books: rule is '%s', expected none, plain, ranged or linked",
                 name.data());
    return false;
  }
  return true;
}

PyObject* books_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"max_levels", "rule", nullptr};
  Py_ssize_t max_levels = 0;
  const char* rule_name = "none";
  SequenceRule rule{};
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$ns:Books", const_cast<char**>(names), &max_levels,
                                   &rule_name) ||
      !read_rule(rule_name, rule)) {
    return nullptr;
  }
  if (max_levels < 0) {
    return PyErr_Format(PyExc_ValueError, "books: max_levels is %zd, expected 0 (all) or more", max_levels);
  }
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  auto* books = new (std::nothrow) Books(static_cast<std::size_t>(max_levels), {rule, false});
  reinterpret_cast<PyBooks*>(self)->books = books;
  if (books == nullptr) {
    Py_DECREF(self);
    return PyErr_NoMemory();
  }
  return self;
}

void books_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete reinterpret_cast<PyBooks*>(self)->books;
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* books_apply(PyObject* self, PyObject* batch) {
  const dragoman::BatchView* view = dragoman_batch_view(batch);
  if (view == nullptr) return nullptr;
  try {
    return PyLong_FromSize_t(books_of(self).apply(*view));
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
}

bool read_handle(PyObject* given, std::int32_t& handle) {
  const long long read = PyLong_AsLongLong(given);
  if (read == -1 && PyErr_Occurred() != nullptr) return false;
  PyObject* name = instrument_id(read);
  if (name == nullptr) return false;
  Py_DECREF(name);
  if (read >= Books::kMaxInstruments) {
    PyErr_Format(PyExc_IndexError, "books: instrument handle is %lld, expected less than %d", read,
                 static_cast<int>(Books::kMaxInstruments));
    return false;
  }
  handle = static_cast<std::int32_t>(read);
  return true;
}

PyObject* books_book(PyObject* self, PyObject* instrument) {
  std::int32_t handle = 0;
  if (!read_handle(instrument, handle)) return nullptr;
  try {
    return make_book(self, &books_of(self).at(handle));
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
}

PyObject* books_mark_stale(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  std::int64_t instrument = -1;
  if (!read_only_int(args, count, keywords, "instrument", -1, instrument)) return nullptr;
  Books& books = books_of(self);
  if (instrument == -1) {
    books.mark_all_stale();
  } else if (instrument < Books::kMaxInstruments) {
    if (auto* book = books.find(static_cast<std::int32_t>(instrument))) book->mark_stale();
  }
  Py_RETURN_NONE;
}

PyObject* books_follow(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"instrument", "rule", "hold", nullptr};
  PyObject* given = nullptr;
  const char* rule_name = "none";
  int hold = 0;
  std::int32_t handle = 0;
  SequenceRule rule{};
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$sp:follow", const_cast<char**>(names), &given,
                                   &rule_name, &hold) ||
      !read_rule(rule_name, rule) || !read_handle(given, handle)) {
    return nullptr;
  }
  try {
    books_of(self).follow(handle, {rule, hold != 0});
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  Py_RETURN_NONE;
}

/// Append one side's rows (price, quantity[, orders]) to `levels`.
bool read_levels(PyObject* rows, dragoman::Side side, std::vector<dragoman::Level>& levels) {
  const auto sequence =
      py::reinterpret_steal<py::object>(PySequence_Fast(rows, "books: levels are no sequence"));
  if (!sequence) return false;
  const Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence.ptr());
  for (Py_ssize_t i = 0; i < count; ++i) {
    const auto row = py::reinterpret_steal<py::object>(PySequence_Fast(
        PySequence_Fast_GET_ITEM(sequence.ptr(), i), "books: a level is (price, quantity, orders)"));
    if (!row) return false;
    const Py_ssize_t size = PySequence_Fast_GET_SIZE(row.ptr());
    if (size < 2) {
      PyErr_Format(PyExc_ValueError, "books: level %zd has %zd values, expected (price, quantity, orders)", i,
                   size);
      return false;
    }
    dragoman::Level level{0.0, 0.0, 0, side, dragoman::Action::add, 255, 255};
    level.price = PyFloat_AsDouble(PySequence_Fast_GET_ITEM(row.ptr(), 0));
    level.quantity = PyFloat_AsDouble(PySequence_Fast_GET_ITEM(row.ptr(), 1));
    if (PyErr_Occurred() != nullptr) return false;
    if (size > 2) {
      const unsigned long long orders = PyLong_AsUnsignedLongLong(PySequence_Fast_GET_ITEM(row.ptr(), 2));
      if (PyErr_Occurred() != nullptr) return false;
      level.orders = static_cast<std::uint32_t>(std::min<unsigned long long>(orders, 0xFFFFFFFFu));
    }
    levels.push_back(level);
  }
  return true;
}

bool read_optional(PyObject* given, std::int64_t& value) {
  if (given == nullptr || given == Py_None) {
    value = dragoman::kAbsentInt;
    return true;
  }
  value = PyLong_AsLongLong(given);
  return !(value == -1 && PyErr_Occurred() != nullptr);
}

PyObject* books_snapshot(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"instrument", "bids", "asks", "sequence", "ts_event", "ts_recv", nullptr};
  PyObject* given = nullptr;
  PyObject* bids = nullptr;
  PyObject* asks = nullptr;
  PyObject* given_sequence = nullptr;
  PyObject* given_event = nullptr;
  long long ts_recv = 0;
  std::int32_t handle = 0;
  std::int64_t sequence = 0;
  std::int64_t ts_event = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|$OOL:snapshot", const_cast<char**>(names), &given,
                                   &bids, &asks, &given_sequence, &given_event, &ts_recv) ||
      !read_handle(given, handle) || !read_optional(given_sequence, sequence) ||
      !read_optional(given_event, ts_event)) {
    return nullptr;
  }
  try {
    std::vector<dragoman::Level> levels;
    if (!read_levels(bids, dragoman::Side::bid, levels) || !read_levels(asks, dragoman::Side::ask, levels)) {
      return nullptr;
    }
    return PyBool_FromLong(books_of(self).snapshot(handle, levels, sequence, ts_event, ts_recv) ? 1 : 0);
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
}

PyObject* books_take_wanting(PyObject* self, PyObject*) {
  Books& books = books_of(self);
  if (!books.wanting()) return PyTuple_New(0);
  try {
    const std::vector<std::int32_t> wanting = books.take_wanting();
    PyObject* const tuple = PyTuple_New(static_cast<Py_ssize_t>(wanting.size()));
    for (std::size_t i = 0; tuple != nullptr && i < wanting.size(); ++i) {
      PyObject* const handle = PyLong_FromLong(wanting[i]);
      if (handle == nullptr) {
        Py_DECREF(tuple);
        return nullptr;
      }
      PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), handle);
    }
    return tuple;
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
}

PyObject* get_wanting(PyObject* self, void*) {
  return PyBool_FromLong(books_of(self).wanting() ? 1 : 0);
}

Py_ssize_t books_length(PyObject* self) {
  return static_cast<Py_ssize_t>(books_of(self).all().size());
}

template <std::uint64_t BookCounters::* kCounter>
PyObject* get_counter(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(books_of(self).counters().*kCounter);
}

PyObject* get_gapped(PyObject* self, void*) {
  PyObject* list = PyList_New(0);
  if (list == nullptr) return nullptr;
  for (const dragoman::Book& book : books_of(self).all()) {
    if (!book.gapped()) continue;
    PyObject* handle = PyLong_FromLong(book.instrument());
    const int failed = handle == nullptr ? -1 : PyList_Append(list, handle);
    Py_XDECREF(handle);
    if (failed != 0) {
      Py_DECREF(list);
      return nullptr;
    }
  }
  PyObject* tuple = PyList_AsTuple(list);
  Py_DECREF(list);
  return tuple;
}

PyGetSetDef books_getset[] = {
    {"gaps", get_counter<&BookCounters::gaps>, nullptr, nullptr, nullptr},
    {"duplicates", get_counter<&BookCounters::duplicates>, nullptr, nullptr, nullptr},
    {"rejected_levels", get_counter<&BookCounters::rejected_levels>, nullptr, nullptr, nullptr},
    {"ignored", get_counter<&BookCounters::ignored>, nullptr, nullptr, nullptr},
    {"unbound", get_counter<&BookCounters::unbound>, nullptr, nullptr, nullptr},
    {"held", get_counter<&BookCounters::held>, nullptr, nullptr, nullptr},
    {"overflowed", get_counter<&BookCounters::overflowed>, nullptr, nullptr, nullptr},
    {"healed", get_counter<&BookCounters::healed>, nullptr, nullptr, nullptr},
    {"wanting", get_wanting, nullptr, nullptr, nullptr},
    {"gapped", get_gapped, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef books_methods[] = {
    {"apply", books_apply, METH_O, nullptr},
    {"book", books_book, METH_O, nullptr},
    {"mark_stale", method(books_mark_stale), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"follow", method(books_follow), METH_VARARGS | METH_KEYWORDS, nullptr},
    {"snapshot", method(books_snapshot), METH_VARARGS | METH_KEYWORDS, nullptr},
    {"take_wanting", books_take_wanting, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot books_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(books_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(books_dealloc)},
    {Py_sq_length, reinterpret_cast<void*>(books_length)},
    {Py_tp_getset, books_getset},
    {Py_tp_methods, books_methods},
    {0, nullptr},
};

PyType_Spec books_spec = {"dragoman._core.Books", sizeof(PyBooks), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, books_slots};

}  // namespace

void add_books_type(py::module_& m) {
  auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&books_spec));
  if (!type) throw py::error_already_set();
  books_type = reinterpret_cast<PyTypeObject*>(type.ptr());
  m.attr("Books") = type;
}

Books* books_in(PyObject* object) {
  if (Py_TYPE(object) != books_type) {
    PyErr_Format(PyExc_TypeError, "found %s, expected a dragoman._core.Books", Py_TYPE(object)->tp_name);
    return nullptr;
  }
  return reinterpret_cast<PyBooks*>(object)->books;
}

void settle_books(PyObject* books) {
  reinterpret_cast<PyBooks*>(books)->books->settle();
}

}  // namespace book_types

void bind_book(py::module_& m) {
  book_types::add_snapshot_type(m);
  book_types::add_book_type(m);
  book_types::add_books_type(m);
}

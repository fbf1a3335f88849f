#include <new>
#include <string_view>

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

Books& books_of(PyObject* self) {
  return *reinterpret_cast<PyBooks*>(self)->books;
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
  auto* books = new (std::nothrow) Books(static_cast<std::size_t>(max_levels), rule);
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

PyObject* books_book(PyObject* self, PyObject* instrument) {
  const long long handle = PyLong_AsLongLong(instrument);
  if (handle == -1 && PyErr_Occurred() != nullptr) return nullptr;
  PyObject* name = instrument_id(handle);
  if (name == nullptr) return nullptr;
  Py_DECREF(name);
  if (handle >= Books::kMaxInstruments) {
    return PyErr_Format(PyExc_IndexError, "books: instrument handle is %lld, expected less than %d", handle,
                        static_cast<int>(Books::kMaxInstruments));
  }
  try {
    return make_book(self, &books_of(self).at(static_cast<std::int32_t>(handle)));
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
    {"gapped", get_gapped, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef books_methods[] = {
    {"apply", books_apply, METH_O, nullptr},
    {"book", books_book, METH_O, nullptr},
    {"mark_stale", method(books_mark_stale), METH_FASTCALL | METH_KEYWORDS, nullptr},
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
  return &books_of(object);
}

}  // namespace book_types

void bind_book(py::module_& m) {
  book_types::add_snapshot_type(m);
  book_types::add_book_type(m);
  book_types::add_books_type(m);
}

#include "py_book.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace book_types {

namespace {

using dragoman::Book;
using dragoman::BookLevel;
using dragoman::Side;

struct PyBook {
  PyObject_HEAD PyObject* books;  // owns `book`
  Book* book;
};

PyTypeObject* book_type = nullptr;

/// The book as it is after all that came.
Book& book_of(PyObject* self) {
  const PyBook& book = *reinterpret_cast<PyBook*>(self);
  settle_books(book.books);
  return *book.book;
}

PyObject* float_or_none(std::optional<double> value) {
  if (!value) Py_RETURN_NONE;
  return PyFloat_FromDouble(*value);
}

template <Side kSide, double BookLevel::* kField>
PyObject* get_best(PyObject* self, void*) {
  const dragoman::BookSide& side = book_of(self).side(kSide);
  if (side.empty()) Py_RETURN_NONE;
  return PyFloat_FromDouble(side.level(0).*kField);
}

template <std::optional<double> (Book::*kGetter)() const noexcept>
PyObject* get_float(PyObject* self, void*) {
  return float_or_none((book_of(self).*kGetter)());
}

template <bool (Book::*kGetter)() const noexcept>
PyObject* get_bool(PyObject* self, void*) {
  return PyBool_FromLong((book_of(self).*kGetter)());
}

template <std::int64_t (Book::*kGetter)() const noexcept>
PyObject* get_int(PyObject* self, void*) {
  return int_or_none((book_of(self).*kGetter)());
}

PyObject* get_updates(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(book_of(self).updates());
}
PyObject* get_gaps(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(book_of(self).gaps());
}
PyObject* get_instrument(PyObject* self, void*) {
  return PyLong_FromLong(book_of(self).instrument());
}
PyObject* get_instrument_id(PyObject* self, void*) {
  return instrument_id(book_of(self).instrument());
}

bool read_side(PyObject* given, Side& side) {
  if (!PyUnicode_Check(given)) {
    PyErr_Format(PyExc_TypeError, "book: side is %R, expected 'bid' or 'ask'", given);
    return false;
  }
  if (PyUnicode_CompareWithASCIIString(given, "bid") == 0) {
    side = Side::bid;
  } else if (PyUnicode_CompareWithASCIIString(given, "ask") == 0) {
    side = Side::ask;
  } else {
    PyErr_Format(PyExc_ValueError, "book: side is %R, expected 'bid' or 'ask'", given);
    return false;
  }
  return true;
}

bool check_two(const char* name, Py_ssize_t count) {
  if (count == 2) return true;
  PyErr_Format(PyExc_TypeError, "%s() takes 2 arguments, %zd given", name, count);
  return false;
}

PyObject* book_depth(PyObject* self, PyObject* which) {
  Side side{};
  if (!read_side(which, side)) return nullptr;
  return PyLong_FromSize_t(book_of(self).side(side).size());
}

PyObject* book_level(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  Side side{};
  if (!check_two("level", count) || !read_side(args[0], side)) return nullptr;
  const Py_ssize_t index = PyLong_AsSsize_t(args[1]);
  if (index == -1 && PyErr_Occurred() != nullptr) return nullptr;
  if (index < 0)
    return PyErr_Format(PyExc_ValueError, "book: level index is %zd, expected 0 (best) or more", index);
  const dragoman::BookSide& levels = book_of(self).side(side);
  if (static_cast<std::size_t>(index) >= levels.size()) Py_RETURN_NONE;
  return make_level(levels.level(static_cast<std::size_t>(index)));
}

/// update(side, price, quantity, orders=0): one level by hand, and the top after it.
PyObject* book_update(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count < 3 || count > 4) {
    return PyErr_Format(PyExc_TypeError,
                        "book: update takes side, price, quantity and orders, found %zd values", count);
  }
  Side side{};
  if (!read_side(args[0], side)) return nullptr;
  dragoman::Level level{0.0, 0.0, 0, side, dragoman::Action::update, 255, 255};
  level.price = PyFloat_AsDouble(args[1]);
  level.quantity = PyFloat_AsDouble(args[2]);
  if (PyErr_Occurred() != nullptr) return nullptr;
  if (count == 4) {
    const unsigned long orders = PyLong_AsUnsignedLong(args[3]);
    if (PyErr_Occurred() != nullptr) return nullptr;
    level.orders = static_cast<std::uint32_t>(std::min<unsigned long>(orders, 0xFFFFFFFFu));
  }
  Book& book = book_of(self);
  try {
    if (!book.edit(level)) {
      return PyErr_Format(
          PyExc_ValueError,
          "book: level %R x %R, expected a finite price above 0 and a finite quantity of 0 or more", args[1],
          args[2]);
    }
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  PyObject* const bid = get_best<Side::bid, &BookLevel::price>(self, nullptr);
  PyObject* const ask = get_best<Side::ask, &BookLevel::price>(self, nullptr);
  PyObject* const top = bid == nullptr || ask == nullptr ? nullptr : PyTuple_New(2);
  if (top == nullptr) {
    Py_XDECREF(bid);
    Py_XDECREF(ask);
    return nullptr;
  }
  PyTuple_SET_ITEM(top, 0, bid);
  PyTuple_SET_ITEM(top, 1, ask);
  return top;
}

PyObject* book_vwap(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  Side side{};
  if (!check_two("vwap", count) || !read_side(args[0], side)) return nullptr;
  const double quantity = PyFloat_AsDouble(args[1]);
  if (quantity == -1.0 && PyErr_Occurred() != nullptr) return nullptr;
  if (!(quantity > 0.0) || !std::isfinite(quantity)) {
    return PyErr_Format(PyExc_ValueError, "book: vwap quantity is %R, expected a finite number above 0",
                        args[1]);
  }
  return float_or_none(book_of(self).vwap(side, quantity));
}

PyObject* book_imbalance(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  std::int64_t levels = 1;
  if (!read_only_int(args, count, keywords, "levels", 1, levels)) return nullptr;
  return float_or_none(book_of(self).imbalance(static_cast<std::size_t>(levels)));
}

PyObject* book_snapshot(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  std::int64_t levels = 0;
  if (!read_only_int(args, count, keywords, "levels", 0, levels)) return nullptr;
  return make_snapshot(book_of(self), static_cast<std::size_t>(levels));
}

PyObject* book_repr(PyObject* self) {
  const Book& book = book_of(self);
  PyObject* name = get_instrument_id(self, nullptr);
  if (name == nullptr) return nullptr;
  PyObject* text = PyUnicode_FromFormat("<Book %U, %zu bids, %zu asks%s>", name, book.side(Side::bid).size(),
                                        book.side(Side::ask).size(),
                                        book.gapped() ? ", gapped" : (book.stale() ? ", stale" : ""));
  Py_DECREF(name);
  return text;
}

void book_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  Py_DECREF(reinterpret_cast<PyBook*>(self)->books);
  type->tp_free(self);
  Py_DECREF(type);
}

PyGetSetDef book_getset[] = {
    {"instrument", get_instrument, nullptr, nullptr, nullptr},
    {"instrument_id", get_instrument_id, nullptr, nullptr, nullptr},
    {"bid_price", get_best<Side::bid, &BookLevel::price>, nullptr, nullptr, nullptr},
    {"bid_quantity", get_best<Side::bid, &BookLevel::quantity>, nullptr, nullptr, nullptr},
    {"ask_price", get_best<Side::ask, &BookLevel::price>, nullptr, nullptr, nullptr},
    {"ask_quantity", get_best<Side::ask, &BookLevel::quantity>, nullptr, nullptr, nullptr},
    {"mid", get_float<&Book::mid>, nullptr, nullptr, nullptr},
    {"microprice", get_float<&Book::microprice>, nullptr, nullptr, nullptr},
    {"spread", get_float<&Book::spread>, nullptr, nullptr, nullptr},
    {"stale", get_bool<&Book::stale>, nullptr, nullptr, nullptr},
    {"gapped", get_bool<&Book::gapped>, nullptr, nullptr, nullptr},
    {"crossed", get_bool<&Book::crossed>, nullptr, nullptr, nullptr},
    {"locked", get_bool<&Book::locked>, nullptr, nullptr, nullptr},
    {"sequence", get_int<&Book::sequence>, nullptr, nullptr, nullptr},
    {"ts_event", get_int<&Book::ts_event>, nullptr, nullptr, nullptr},
    {"ts_recv", get_int<&Book::ts_recv>, nullptr, nullptr, nullptr},
    {"updates", get_updates, nullptr, nullptr, nullptr},
    {"gaps", get_gaps, nullptr, nullptr, nullptr},
    {"broken_since", get_int<&Book::broken_since>, nullptr, nullptr, nullptr},
    {"broken_ns", get_int<&Book::broken_ns>, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef book_methods[] = {
    {"depth", book_depth, METH_O, nullptr},
    {"level", method(book_level), METH_FASTCALL, nullptr},
    {"update", method(book_update), METH_FASTCALL, nullptr},
    {"vwap", method(book_vwap), METH_FASTCALL, nullptr},
    {"imbalance", method(book_imbalance), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"snapshot", method(book_snapshot), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot book_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(book_dealloc)},
    {Py_tp_repr, reinterpret_cast<void*>(book_repr)},
    {Py_tp_getset, book_getset},
    {Py_tp_methods, book_methods},
    {0, nullptr},
};

PyType_Spec book_spec = {"dragoman._core.Book", sizeof(PyBook), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
                         book_slots};

}  // namespace

bool read_only_int(PyObject* const* args, Py_ssize_t count, PyObject* keywords, const char* name,
                   std::int64_t low, std::int64_t& value) {
  const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
  if (count + named == 0) return true;
  if (count + named > 1) {
    PyErr_Format(PyExc_TypeError, "expected one argument, %s, %zd given", name, count + named);
    return false;
  }
  if (named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0), name) != 0) {
    PyErr_Format(PyExc_TypeError, "unexpected keyword argument %R, expected %s",
                 PyTuple_GET_ITEM(keywords, 0), name);
    return false;
  }
  const long long given = PyLong_AsLongLong(args[0]);
  if (given == -1 && PyErr_Occurred() != nullptr) return false;
  if (given < low) {
    PyErr_Format(PyExc_ValueError, "%s is %lld, expected at least %lld", name, given,
                 static_cast<long long>(low));
    return false;
  }
  value = given;
  return true;
}

PyObject* make_book(PyObject* books, Book* book) {
  PyObject* self = book_type->tp_alloc(book_type, 0);
  if (self == nullptr) return nullptr;
  reinterpret_cast<PyBook*>(self)->books = Py_NewRef(books);
  reinterpret_cast<PyBook*>(self)->book = book;
  return self;
}

void add_book_type(pybind11::module_& m) {
  auto type = pybind11::reinterpret_steal<pybind11::object>(PyType_FromSpec(&book_spec));
  if (!type) throw pybind11::error_already_set();
  book_type = reinterpret_cast<PyTypeObject*>(type.inc_ref().ptr());
  m.attr("Book") = type;
}

}  // namespace book_types

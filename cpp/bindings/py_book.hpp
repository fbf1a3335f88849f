#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>

#include "dragoman/book.hpp"
#include "dragoman/books.hpp"

/// What the three types of the book module share. All need the GIL; functions that return a PyObject*
/// return a new reference, or null with the error set.
namespace book_types {

/// Make the heap types and put them into the module; once per process.
void add_snapshot_type(pybind11::module_& m);
void add_book_type(pybind11::module_& m);
void add_books_type(pybind11::module_& m);

/// The books of a `Books` object, with a batch put off where one was; null with TypeError set where `object`
/// is none.
dragoman::Books* books_in(PyObject* object);

/// Bring the books of a `Books` object up to date.
void settle_books(PyObject* books);

/// A live view of `book`, which belongs to `books` and is kept alive by it.
PyObject* make_book(PyObject* books, dragoman::Book* book);

/// A value copied from the first `levels` of each side; 0 is all.
PyObject* make_snapshot(const dragoman::Book& book, std::size_t levels);

PyObject* make_level(const dragoman::BookLevel& level);

/// The integer, or None where it is absent.
PyObject* int_or_none(std::int64_t value);

/// The canonical id of an instrument handle; IndexError where there is none.
PyObject* instrument_id(std::int64_t handle);

/// Read the only argument `name` of a METH_FASTCALL | METH_KEYWORDS function, which is left alone if not
/// given.
/// @return false with the error set unless it is an int of at least `low`
bool read_only_int(PyObject* const* args, Py_ssize_t count, PyObject* keywords, const char* name,
                   std::int64_t low, std::int64_t& value);

template <class Function>
PyCFunction method(Function function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

}  // namespace book_types

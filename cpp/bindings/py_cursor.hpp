#pragma once

#include <Python.h>

/// A `Cursor` before the first record of `batch`, which it keeps alive until it is closed. New reference, or
/// null with the error set. Needs the GIL.
PyObject* make_cursor(PyObject* batch);

bool add_cursor_type(PyObject* module);

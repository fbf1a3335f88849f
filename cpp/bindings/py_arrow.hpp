#pragma once

#include <Python.h>

/// The Arrow PyCapsule methods of `Batch`, as METH_VARARGS | METH_KEYWORDS and METH_NOARGS functions. Each
/// makes a columnar copy; all need the GIL and return a new reference, or null with the error set.
PyObject* batch_arrow_schema(PyObject* self, PyObject*);
PyObject* batch_arrow_array(PyObject* self, PyObject* args, PyObject* kwargs);
PyObject* batch_arrow_stream(PyObject* self, PyObject* args, PyObject* kwargs);

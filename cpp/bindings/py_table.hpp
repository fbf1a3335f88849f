#pragma once

#include <Python.h>

/// `Batch.table`: the named fields of every record as one new NumPy array.
PyObject* batch_table(PyObject* self, PyObject* names);

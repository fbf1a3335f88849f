#pragma once

#include <Python.h>

/// `Batch.rows`: an iterator over tuples of the named attributes of each record.
PyObject* batch_rows(PyObject* self, PyObject* names);

bool add_rows_type();

#pragma once

#include <Python.h>

#include "dragoman/record.hpp"

/// A `Tick` holding a copy of `record`; new reference, or null with the error set. Needs the GIL.
PyObject* make_tick(const dragoman::Record& record);

/// Put the type and its reconstructor into the module. False with the error set.
bool add_tick_type(PyObject* module);

#pragma once

#include <Python.h>

#include "dragoman/histogram.hpp"

/// The histogram of a `Histogram` object, null where `object` is null or another (no error is set). Needs the
/// GIL.
dragoman::Histogram* histogram_in(PyObject* object);

#pragma once

#include <Python.h>

#include "dragoman/batch.hpp"

/// Return the frame behind a `Batch`, or null with TypeError set when `object` is not one.
/// Valid while the caller holds a reference to `object`; needs the GIL.
const dragoman::BatchView* dragoman_batch_view(PyObject* object);

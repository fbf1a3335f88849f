#pragma once

#include <Python.h>

#include <cstdint>
#include <memory>

#include "dragoman/batch.hpp"

/// Return the frame behind a `Batch`, or null with TypeError set when `object` is not one.
/// Valid while the caller holds a reference to `object`; needs the GIL.
const dragoman::BatchView* dragoman_batch_view(PyObject* object);

/// The same, but levels may be missing and the records' ranges of them unset: for those who read values,
/// which need not wait for depth.
const dragoman::BatchView* dragoman_batch_heads(PyObject* object);

/// A `Batch` with an empty block of its own, or null with the error set.
///
/// @param alive  batches of one decoder that exist, whoever holds them: counts this one until it dies
PyObject* make_batch(std::shared_ptr<std::int64_t> alive);

/// The block of an object made by `make_batch`; to be filled only while nobody else holds that object.
dragoman::Block& batch_block(PyObject* batch);

bool add_batch_type(PyObject* module);

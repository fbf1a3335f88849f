#pragma once

#include <Python.h>

#include <cstdint>

[[nodiscard]] bool is_handout(PyObject* object);

/// Whether `object` is a `Handout` whose handlers come before the books: levels may then be read behind them.
[[nodiscard]] bool handlers_first(PyObject* object);

/// Hand a batch to the books and the handlers of a `Handout`. False with the error set.
///
/// @param arrived_ns  monotonic time at which its frame came, kNotTold to measure its age from `ts_recv`
bool hand_out(PyObject* handout, PyObject* batch, std::int64_t arrived_ns);

inline constexpr std::int64_t kNotTold = INT64_MIN;

/// The exception that is set, taken with its traceback and no longer set; null where none of `kind` is.
/// A new reference.
PyObject* take_error(PyObject* kind);

bool add_handout_type(PyObject* module);

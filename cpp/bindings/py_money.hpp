#pragma once

#include <Python.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "dragoman/marks.hpp"
#include "dragoman/triggers.hpp"

/// What the types that hold money against prices share, and their native faces. All need the GIL.

/// The marks of a `Marks`, the triggers of a `Triggers`; null where `object` is null or another (no error).
dragoman::Marks* marks_in(PyObject* object);
dragoman::Triggers* triggers_in(PyObject* object);

/// The ids of what fired last, in its order. A new reference, or null with the error set.
PyObject* fired_ids(const dragoman::Triggers& triggers);

namespace money {

/// Sort the arguments of a METH_FASTCALL | METH_KEYWORDS function by name; those not given stay null.
///
/// @param required    how many of `names`, from the first on, must be given
/// @param positional  how many may be given without their name
/// @return false with TypeError set
bool sort_arguments(const char* function, const char* const* names, std::size_t count, std::size_t required,
                    std::size_t positional, PyObject* const* args, Py_ssize_t given, PyObject* keywords,
                    PyObject** into);

template <std::size_t kCount>
struct Names {
  const char* function;
  std::array<const char*, kCount> names;
  std::size_t required;
  std::size_t positional;

  bool sort(PyObject* const* args, Py_ssize_t given, PyObject* keywords,
            std::array<PyObject*, kCount>& into) const {
    into.fill(nullptr);
    return sort_arguments(function, names.data(), kCount, required, positional, args, given, keywords,
                          into.data());
  }
};

/// Read a value; one that is null is left alone. False with an exception that names `name`.
bool read_int(PyObject* given, const char* name, std::int64_t low, std::int64_t high, std::int64_t& value);
/// @param most  largest magnitude; @param may_be_nan  whether NaN means unknown
bool read_number(PyObject* given, const char* name, double most, bool may_be_nan, double& value);
bool read_source(PyObject* given, dragoman::PriceSource& source);
/// The handle of an instrument that exists; IndexError otherwise.
bool read_instrument(PyObject* given, std::int32_t& instrument);

PyObject* counter_dict(const dragoman::PriceCounters& counters);
const char* source_name(dragoman::PriceSource source);

}  // namespace money

#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>

#include "dragoman/rate_limit.hpp"

/// Whether an object is a RateLimiter or SharedRateLimiter that has such a plan.
bool has_plan(PyObject* limiter, std::size_t plan);

/// What `try_acquire` of such a limiter does, for one that has the plan. It sets no error: 0 taken, above 0
/// the wait in ns, below 0 where `try_acquire` would raise. Needs the GIL.
std::int64_t take_at_once(PyObject* limiter, std::int64_t mono_ns, std::int64_t wall_ns, std::size_t plan,
                          dragoman::Lane lane);

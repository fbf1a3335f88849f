#include <pybind11/pybind11.h>

#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "dragoman/rate_limit.hpp"

namespace py = pybind11;

// A raw type because try_acquire stands before every request: METH_FASTCALL costs 37 ns, pybind11 92.

namespace {

using dragoman::Lane;
using dragoman::RateLimiter;

struct PyRateLimiter {
  PyObject_HEAD RateLimiter* limiter;
};

RateLimiter& limiter_of(PyObject* self) {
  return *reinterpret_cast<PyRateLimiter*>(self)->limiter;
}

/// Run what may throw and turn it into the Python error that fits.
template <class Body>
PyObject* guarded(Body&& body) {
  try {
    return body();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::cast_error& error) {
    PyErr_SetString(PyExc_TypeError, error.what());
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  }
  return nullptr;
}

dragoman::Window window_of(const std::string& meter, const std::string& name) {
  if (name == "bucket") return dragoman::Window::bucket;
  if (name == "rolling") return dragoman::Window::rolling;
  if (name == "calendar") return dragoman::Window::calendar;
  throw std::invalid_argument("rate limit: meter '" + meter + "' has window '" + name +
                              "', expected bucket, rolling or calendar");
}

/// Read a sequence of exactly `size` items.
py::tuple tuple_of(py::handle spec, std::size_t size, const char* what, const char* items) {
  auto fields = py::reinterpret_steal<py::tuple>(PySequence_Tuple(spec.ptr()));
  if (!fields) throw py::error_already_set();
  if (fields.size() != size) {
    throw std::invalid_argument("rate limit: " + std::string(what) + " " +
                                py::repr(spec).cast<std::string>() + " has " + std::to_string(fields.size()) +
                                " items, expected " + std::to_string(size) + ": " + items);
  }
  return fields;
}

std::vector<dragoman::Meter> meters_of(py::handle specs) {
  std::vector<dragoman::Meter> meters;
  for (const py::handle spec : py::iter(specs)) {
    const py::tuple fields = tuple_of(spec, 5, "meter", "name, count, period_ns, window, reserve");
    auto name = fields[0].cast<std::string>();
    const auto window = window_of(name, fields[3].cast<std::string>());
    meters.push_back({std::move(name), fields[1].cast<std::int64_t>(), fields[2].cast<std::int64_t>(), window,
                      fields[4].cast<std::int64_t>()});
  }
  return meters;
}

PyObject* limiter_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"meters", "calendar_offset_ns", nullptr};
  PyObject* specs = nullptr;
  long long offset_ns = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$L:RateLimiter", const_cast<char**>(names), &specs,
                                   &offset_ns)) {
    return nullptr;
  }
  return guarded([&]() -> PyObject* {
    auto limiter = std::make_unique<RateLimiter>(meters_of(specs), offset_ns);
    PyObject* self = type->tp_alloc(type, 0);
    if (self != nullptr) reinterpret_cast<PyRateLimiter*>(self)->limiter = limiter.release();
    return self;
  });
}

void limiter_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete reinterpret_cast<PyRateLimiter*>(self)->limiter;
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* limiter_plan(PyObject* self, PyObject* costs) {
  return guarded([&] {
    std::vector<std::pair<std::string, std::int64_t>> parsed;
    for (const py::handle item : py::iter(costs)) {
      const py::tuple pair = tuple_of(item, 2, "cost", "a meter and its cost");
      parsed.emplace_back(pair[0].cast<std::string>(), pair[1].cast<std::int64_t>());
    }
    const std::vector<RateLimiter::Cost> views(parsed.begin(), parsed.end());
    return PyLong_FromSize_t(limiter_of(self).plan(views));
  });
}

/// Read an int in [low, high]; false with the error set for anything else.
bool read_int(PyObject* object, const char* what, std::int64_t low, std::int64_t high, std::int64_t& value) {
  const long long read = PyLong_AsLongLong(object);
  if (read == -1 && PyErr_Occurred() != nullptr) return false;
  if (read < low || read > high) {
    PyErr_Format(PyExc_ValueError, "rate limit: %s is %lld, expected %lld to %lld", what, read,
                 static_cast<long long>(low), static_cast<long long>(high));
    return false;
  }
  value = read;
  return true;
}

bool read_times(PyObject* mono, PyObject* wall, std::int64_t& mono_ns, std::int64_t& wall_ns) {
  return read_int(mono, "mono_ns", 0, RateLimiter::kMaxMono, mono_ns) &&
         read_int(wall, "wall_ns", -RateLimiter::kMaxWall, RateLimiter::kMaxWall, wall_ns);
}

bool read_plan(const RateLimiter& limiter, PyObject* object, std::size_t& plan) {
  const auto count = static_cast<std::int64_t>(limiter.plan_count());
  std::int64_t value = 0;
  if (count == 0) {
    PyErr_SetString(PyExc_ValueError, "rate limit: no plan was registered, call plan() first");
    return false;
  }
  if (!read_int(object, "plan", 0, count - 1, value)) return false;
  plan = static_cast<std::size_t>(value);
  return true;
}

bool read_lane(PyObject* object, Lane& lane) {
  std::int64_t value = 0;
  if (!read_int(object, "lane", 0, 1, value)) return false;
  lane = static_cast<Lane>(value);
  return true;
}

bool check_count(const char* name, Py_ssize_t found, Py_ssize_t low, Py_ssize_t high) {
  if (found >= low && found <= high) return true;
  PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd arguments, %zd given", name, low, high, found);
  return false;
}

PyObject* limiter_try_acquire(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  RateLimiter& limiter = limiter_of(self);
  std::int64_t mono_ns = 0;
  std::int64_t wall_ns = 0;
  std::size_t plan = 0;
  Lane lane = Lane::normal;
  if (!check_count("try_acquire", count, 3, 4) || !read_times(args[0], args[1], mono_ns, wall_ns) ||
      !read_plan(limiter, args[2], plan) || (count == 4 && !read_lane(args[3], lane))) {
    return nullptr;
  }
  const std::int64_t wait_ns = limiter.try_acquire(mono_ns, wall_ns, plan, lane);
  if (wait_ns == RateLimiter::kNever) {
    const std::string name(limiter.beyond_lane_0(plan));
    PyErr_Format(
        PyExc_ValueError,
        "rate limit: plan %zu costs more of meter '%s' than lane 0 can ever have, expected at most its "
        "count less its reserve, or lane 1",
        plan, name.c_str());
    return nullptr;
  }
  return PyLong_FromLongLong(wait_ns);
}

PyObject* limiter_refund(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  RateLimiter& limiter = limiter_of(self);
  std::int64_t granted_ns = 0;
  std::size_t plan = 0;
  Lane lane = Lane::normal;
  if (!check_count("refund", count, 2, 3) || !read_plan(limiter, args[0], plan) ||
      !read_int(args[1], "granted_mono_ns", 0, RateLimiter::kMaxMono, granted_ns) ||
      (count == 3 && !read_lane(args[2], lane))) {
    return nullptr;
  }
  limiter.refund(plan, granted_ns, lane);
  Py_RETURN_NONE;
}

PyObject* limiter_penalise(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"meter", "until_mono_ns", nullptr};
  const char* meter = nullptr;
  PyObject* until = nullptr;
  std::int64_t until_ns = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sO:penalise", const_cast<char**>(names), &meter, &until) ||
      !read_int(until, "until_mono_ns", 0, RateLimiter::kMaxMono, until_ns)) {
    return nullptr;
  }
  return guarded([&] {
    limiter_of(self).penalise(meter, until_ns);
    return Py_NewRef(Py_None);
  });
}

PyObject* limiter_state(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"mono_ns", "wall_ns", nullptr};
  PyObject* mono = nullptr;
  PyObject* wall = nullptr;
  std::int64_t mono_ns = 0;
  std::int64_t wall_ns = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:state", const_cast<char**>(names), &mono, &wall) ||
      !read_times(mono, wall, mono_ns, wall_ns)) {
    return nullptr;
  }
  return guarded([&] {
    const RateLimiter& limiter = limiter_of(self);
    py::dict state;
    for (std::size_t i = 0; i < limiter.meters().size(); ++i) {
      const dragoman::MeterUse use = limiter.use(i, mono_ns, wall_ns);
      py::dict entry;
      entry["count"] = use.count;
      entry["used"] = use.used;
      entry["left"] = use.left;
      entry["reserve_left"] = use.reserve_left;
      entry["reset_ns"] = use.reset_ns;
      entry["penalty_ns"] = use.penalty_ns;
      state[py::str(limiter.meters()[i].name)] = entry;
    }
    return state.release().ptr();
  });
}

template <class Function>
PyCFunction method(Function function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef limiter_methods[] = {
    {"plan", limiter_plan, METH_O, nullptr},
    {"try_acquire", method(limiter_try_acquire), METH_FASTCALL, nullptr},
    {"refund", method(limiter_refund), METH_FASTCALL, nullptr},
    {"penalise", method(limiter_penalise), METH_VARARGS | METH_KEYWORDS, nullptr},
    {"state", method(limiter_state), METH_VARARGS | METH_KEYWORDS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot limiter_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(limiter_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(limiter_dealloc)},
    {Py_tp_methods, limiter_methods},
    {0, nullptr},
};

PyType_Spec limiter_spec = {"dragoman._core.RateLimiter", sizeof(PyRateLimiter), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, limiter_slots};

}  // namespace

void bind_rate_limit(py::module_& m) {
  auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&limiter_spec));
  if (!type) throw py::error_already_set();
  m.attr("RateLimiter") = type;
}

#include <pybind11/pybind11.h>

#include <cerrno>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "dragoman/rate_limit.hpp"
#include "py_rate_limit.hpp"
#if defined(__linux__)
#include "dragoman/rate_shared.hpp"
#endif

namespace py = pybind11;

// Raw types because try_acquire stands before every request: METH_FASTCALL costs 37 ns, pybind11 92. Both
// forms of the limiter share their methods: templates over the native class.

namespace {

using dragoman::Lane;
using dragoman::RateLimiter;

template <class Limiter>
struct PyLimiter {
  PyObject_HEAD Limiter* limiter;
};

template <class Limiter>
Limiter& limiter_of(PyObject* self) {
  return *reinterpret_cast<PyLimiter<Limiter>*>(self)->limiter;
}

#if defined(__linux__)
using dragoman::SharedRateLimiter;

/// Set the Python error of a state that could not be changed.
void refuse(const SharedRateLimiter& limiter, std::int64_t status) {
  const char* path = limiter.path().c_str();
  if (status == SharedRateLimiter::kBusy) {
    PyErr_Format(PyExc_TimeoutError,
                 "rate limit: the lock in %s was held for 100 ms, expected far less: is its holder stopped?",
                 path);
  } else if (status == SharedRateLimiter::kForked) {
    PyErr_Format(PyExc_RuntimeError,
                 "rate limit: %s was opened before a fork, expected this process to open it", path);
  } else {
    PyErr_Format(PyExc_RuntimeError,
                 "rate limit: %s is damaged: what a dead process left in it cannot be undone; stop the "
                 "processes that use it and remove it",
                 path);
  }
}
#endif

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
#if defined(__linux__)
  } catch (const std::system_error& error) {
    errno = error.code().value();
    const std::string what = error.what();
    const std::string path = what.substr(0, what.rfind(": "));
    PyErr_SetFromErrnoWithFilename(PyExc_OSError, path.c_str());
  } catch (const dragoman::SharedStateError& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
#endif
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

template <class Limiter>
PyObject* made(PyTypeObject* type, std::unique_ptr<Limiter> limiter) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self != nullptr) reinterpret_cast<PyLimiter<Limiter>*>(self)->limiter = limiter.release();
  return self;
}

PyObject* limiter_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"meters", "calendar_offset_ns", nullptr};
  PyObject* specs = nullptr;
  long long offset_ns = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$L:RateLimiter", const_cast<char**>(names), &specs,
                                   &offset_ns)) {
    return nullptr;
  }
  return guarded([&] { return made(type, std::make_unique<RateLimiter>(meters_of(specs), offset_ns)); });
}

#if defined(__linux__)
PyObject* shared_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"path",    "meters", "mono_ns", "wall_ns", "calendar_offset_ns",
                                "boot_id", nullptr};
  const char* path = nullptr;
  const char* boot_id = "";
  PyObject* specs = nullptr;
  PyObject* mono = nullptr;
  PyObject* wall = nullptr;
  long long offset_ns = 0;
  std::int64_t mono_ns = 0;
  std::int64_t wall_ns = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sOOO|$Ls:SharedRateLimiter", const_cast<char**>(names),
                                   &path, &specs, &mono, &wall, &offset_ns, &boot_id) ||
      !read_times(mono, wall, mono_ns, wall_ns)) {
    return nullptr;
  }
  return guarded([&] {
    auto meters = meters_of(specs);
    std::unique_ptr<SharedRateLimiter> limiter;
    {
      // Another process may be making the file.
      const py::gil_scoped_release released;
      limiter =
          std::make_unique<SharedRateLimiter>(path, std::move(meters), offset_ns, mono_ns, wall_ns, boot_id);
    }
    return made(type, std::move(limiter));
  });
}
#endif

template <class Limiter>
void limiter_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete &limiter_of<Limiter>(self);
  type->tp_free(self);
  Py_DECREF(type);
}

template <class Limiter>
PyObject* limiter_plan(PyObject* self, PyObject* costs) {
  return guarded([&] {
    std::vector<std::pair<std::string, std::int64_t>> parsed;
    for (const py::handle item : py::iter(costs)) {
      const py::tuple pair = tuple_of(item, 2, "cost", "a meter and its cost");
      parsed.emplace_back(pair[0].cast<std::string>(), pair[1].cast<std::int64_t>());
    }
    const std::vector<RateLimiter::Cost> views(parsed.begin(), parsed.end());
    return PyLong_FromSize_t(limiter_of<Limiter>(self).plan(views));
  });
}

template <class Limiter>
bool read_plan(const Limiter& limiter, PyObject* object, std::size_t& plan) {
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

template <class Limiter>
constexpr bool kShared = !std::is_same_v<Limiter, RateLimiter>;

/// The result of a change: None, or the error of a shared state that could not be changed.
template <class Limiter>
PyObject* none_or_refused(const Limiter& limiter, std::int64_t status) {
  if constexpr (kShared<Limiter>) {
    if (status != 0) {
      refuse(limiter, status);
      return nullptr;
    }
  }
  Py_RETURN_NONE;
}

template <class Limiter>
PyObject* limiter_try_acquire(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  Limiter& limiter = limiter_of<Limiter>(self);
  std::int64_t mono_ns = 0;
  std::int64_t wall_ns = 0;
  std::size_t plan = 0;
  Lane lane = Lane::normal;
  if (!check_count("try_acquire", count, 3, kShared<Limiter> ? 5 : 4) ||
      !read_times(args[0], args[1], mono_ns, wall_ns) || !read_plan(limiter, args[2], plan) ||
      (count >= 4 && !read_lane(args[3], lane))) {
    return nullptr;
  }
  std::int64_t wait_ns = 0;
  if constexpr (kShared<Limiter>) {
    std::int64_t arrival_ns = SharedRateLimiter::kNoTicket;
    if (count == 5 && !read_int(args[4], "arrival_ns", arrival_ns, RateLimiter::kMaxMono, arrival_ns)) {
      return nullptr;
    }
    wait_ns = limiter.try_acquire(mono_ns, wall_ns, plan, lane, arrival_ns);
    if (wait_ns < RateLimiter::kNever) return none_or_refused(limiter, wait_ns);
  } else {
    wait_ns = limiter.try_acquire(mono_ns, wall_ns, plan, lane);
  }
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

template <class Limiter>
PyObject* limiter_refund(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  Limiter& limiter = limiter_of<Limiter>(self);
  std::int64_t granted_ns = 0;
  std::size_t plan = 0;
  Lane lane = Lane::normal;
  if (!check_count("refund", count, 2, 3) || !read_plan(limiter, args[0], plan) ||
      !read_int(args[1], "granted_mono_ns", 0, RateLimiter::kMaxMono, granted_ns) ||
      (count == 3 && !read_lane(args[2], lane))) {
    return nullptr;
  }
  if constexpr (kShared<Limiter>) {
    return none_or_refused(limiter, limiter.refund(plan, granted_ns, lane));
  } else {
    limiter.refund(plan, granted_ns, lane);
    Py_RETURN_NONE;
  }
}

template <class Limiter>
PyObject* limiter_penalise(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"meter", "until_mono_ns", nullptr};
  const char* meter = nullptr;
  PyObject* until = nullptr;
  std::int64_t until_ns = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "sO:penalise", const_cast<char**>(names), &meter, &until) ||
      !read_int(until, "until_mono_ns", 0, RateLimiter::kMaxMono, until_ns)) {
    return nullptr;
  }
  return guarded([&]() -> PyObject* {
    Limiter& limiter = limiter_of<Limiter>(self);
    if constexpr (kShared<Limiter>) {
      return none_or_refused(limiter, limiter.penalise(meter, until_ns));
    } else {
      limiter.penalise(meter, until_ns);
      return Py_NewRef(Py_None);
    }
  });
}

template <class Limiter>
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
  return guarded([&]() -> PyObject* {
    Limiter& limiter = limiter_of<Limiter>(self);
    std::vector<dragoman::MeterUse> uses(limiter.meters().size());
    if constexpr (kShared<Limiter>) {
      if (const std::int64_t status = limiter.use(mono_ns, wall_ns, uses); status != 0) {
        refuse(limiter, status);
        return nullptr;
      }
    } else {
      for (std::size_t i = 0; i < uses.size(); ++i) uses[i] = limiter.use(i, mono_ns, wall_ns);
    }
    py::dict state;
    for (std::size_t i = 0; i < uses.size(); ++i) {
      py::dict entry;
      entry["count"] = uses[i].count;
      entry["used"] = uses[i].used;
      entry["left"] = uses[i].left;
      entry["reserve_left"] = uses[i].reserve_left;
      entry["reset_ns"] = uses[i].reset_ns;
      entry["penalty_ns"] = uses[i].penalty_ns;
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
    {"plan", limiter_plan<RateLimiter>, METH_O, nullptr},
    {"try_acquire", method(limiter_try_acquire<RateLimiter>), METH_FASTCALL, nullptr},
    {"refund", method(limiter_refund<RateLimiter>), METH_FASTCALL, nullptr},
    {"penalise", method(limiter_penalise<RateLimiter>), METH_VARARGS | METH_KEYWORDS, nullptr},
    {"state", method(limiter_state<RateLimiter>), METH_VARARGS | METH_KEYWORDS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot limiter_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(limiter_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(limiter_dealloc<RateLimiter>)},
    {Py_tp_methods, limiter_methods},
    {0, nullptr},
};

PyType_Spec limiter_spec = {"dragoman._core.RateLimiter", sizeof(PyLimiter<RateLimiter>), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, limiter_slots};

#if defined(__linux__)
PyObject* shared_leave(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  auto& limiter = limiter_of<SharedRateLimiter>(self);
  std::size_t plan = 0;
  Lane lane = Lane::normal;
  if (!check_count("leave", count, 1, 2) || !read_plan(limiter, args[0], plan) ||
      (count == 2 && !read_lane(args[1], lane))) {
    return nullptr;
  }
  return none_or_refused(limiter, limiter.leave(plan, lane));
}

PyObject* shared_lease(PyObject* self, PyObject* most) {
  auto& limiter = limiter_of<SharedRateLimiter>(self);
  std::int64_t count = 0;
  if (!read_int(most, "most", 0, SharedRateLimiter::kMaxLeases, count)) return nullptr;
  const std::int64_t number = limiter.lease(count);
  if (number >= 0) return PyLong_FromLongLong(number);
  return none_or_refused(limiter, number == SharedRateLimiter::kNoLease ? 0 : number);
}

PyObject* shared_release(PyObject* self, PyObject* number) {
  auto& limiter = limiter_of<SharedRateLimiter>(self);
  std::int64_t value = 0;
  if (!read_int(number, "number", 0, SharedRateLimiter::kMaxLeases - 1, value)) return nullptr;
  return none_or_refused(limiter, limiter.release(value));
}

PyObject* shared_holders(PyObject* self, PyObject*) {
  return guarded([&]() -> PyObject* {
    auto& limiter = limiter_of<SharedRateLimiter>(self);
    std::vector<dragoman::LeaseHolder> holders;
    if (const std::int64_t status = limiter.lease_holders(holders); status != 0) {
      refuse(limiter, status);
      return nullptr;
    }
    py::dict found;
    for (const auto& holder : holders) found[py::int_(holder.pid)] = holder.held;
    return found.release().ptr();
  });
}

PyObject* shared_path(PyObject* self, void*) {
  return PyUnicode_DecodeFSDefault(limiter_of<SharedRateLimiter>(self).path().c_str());
}

PyObject* shared_recoveries(PyObject* self, void*) {
  return PyLong_FromLongLong(limiter_of<SharedRateLimiter>(self).recoveries());
}

PyMethodDef shared_methods[] = {
    {"plan", limiter_plan<SharedRateLimiter>, METH_O, nullptr},
    {"try_acquire", method(limiter_try_acquire<SharedRateLimiter>), METH_FASTCALL, nullptr},
    {"leave", method(shared_leave), METH_FASTCALL, nullptr},
    {"refund", method(limiter_refund<SharedRateLimiter>), METH_FASTCALL, nullptr},
    {"penalise", method(limiter_penalise<SharedRateLimiter>), METH_VARARGS | METH_KEYWORDS, nullptr},
    {"state", method(limiter_state<SharedRateLimiter>), METH_VARARGS | METH_KEYWORDS, nullptr},
    {"lease", shared_lease, METH_O, nullptr},
    {"release", shared_release, METH_O, nullptr},
    {"lease_holders", shared_holders, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef shared_getters[] = {
    {"path", shared_path, nullptr, nullptr, nullptr},
    {"recoveries", shared_recoveries, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot shared_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(shared_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(limiter_dealloc<SharedRateLimiter>)},
    {Py_tp_methods, shared_methods},
    {Py_tp_getset, shared_getters},
    {0, nullptr},
};

PyType_Spec shared_spec = {"dragoman._core.SharedRateLimiter", sizeof(PyLimiter<SharedRateLimiter>), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, shared_slots};
#endif

/// Returns the type, which is kept for the life of the process.
PyObject* add(py::module_& m, const char* name, PyType_Spec& spec) {
  auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
  if (!type) throw py::error_already_set();
  m.attr(name) = type;
  return type.release().ptr();
}

PyObject* limiter_type = nullptr;
#if defined(__linux__)
PyObject* shared_type = nullptr;
#endif

template <class Limiter>
bool is_a(PyObject* object) {
  const auto* type = reinterpret_cast<PyObject*>(Py_TYPE(object));
#if defined(__linux__)
  if constexpr (kShared<Limiter>) return type == shared_type;
#endif
  return type == limiter_type;
}

}  // namespace

bool has_plan(PyObject* limiter, std::size_t plan) {
#if defined(__linux__)
  if (is_a<SharedRateLimiter>(limiter)) return plan < limiter_of<SharedRateLimiter>(limiter).plan_count();
#endif
  return is_a<RateLimiter>(limiter) && plan < limiter_of<RateLimiter>(limiter).plan_count();
}

std::int64_t take_at_once(PyObject* limiter, std::int64_t mono_ns, std::int64_t wall_ns, std::size_t plan,
                          Lane lane) {
  if (mono_ns < 0 || mono_ns > RateLimiter::kMaxMono || wall_ns < -RateLimiter::kMaxWall ||
      wall_ns > RateLimiter::kMaxWall) {
    return RateLimiter::kNever;
  }
#if defined(__linux__)
  if (is_a<SharedRateLimiter>(limiter)) {
    return limiter_of<SharedRateLimiter>(limiter).try_acquire(mono_ns, wall_ns, plan, lane);
  }
#endif
  return limiter_of<RateLimiter>(limiter).try_acquire(mono_ns, wall_ns, plan, lane);
}

void bind_rate_limit(py::module_& m) {
  limiter_type = add(m, "RateLimiter", limiter_spec);
#if defined(__linux__)
  shared_type = add(m, "SharedRateLimiter", shared_spec);
#endif
}

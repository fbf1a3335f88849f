#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "py_clock.hpp"
#include "py_rate_limit.hpp"
#include "py_values.hpp"

namespace py = pybind11;

/// The plain case of taking room for a request: a meter nobody waits for, a plan that is known, counts that
/// have room. All else is left to `take_closer` of the class above, which also says when a meter is open.
///
/// Everything here runs under the GIL.
namespace {

constexpr std::size_t kMostOpen = 64;

/// What may be taken without looking further.
struct Open {
  PyObject* meter;   // held
  PyObject* lane;    // held
  PyObject* plan;    // held
  PyObject* native;  // held
  long cost;
  std::size_t plan_id;
  dragoman::Lane lane_id;
};

struct Turnstile {
  PyObject_HEAD Clock clock;
  PyTypeObject* request;  // borrowed: its layout is kept
  PyObject* plain;        // held; a grant of nothing
  const SlotLayout* grant;
  Py_ssize_t meter, cost, lane, limit_key;                      // of a request
  Py_ssize_t grant_plan, grant_lane, grant_native, grant_mono;  // of a grant
  std::int64_t from_ns, until_ns, offset_ns;                    // local time, while the clock is within
  std::vector<Open> open;
};

PyObject* take_closer_name = nullptr;

Turnstile& turnstile_of(PyObject* self) {
  return *reinterpret_cast<Turnstile*>(self);
}

void let_go(std::vector<Open>& all) {
  std::vector<Open> gone;
  gone.swap(all);  // what ends with them may look here
  for (const Open& one : gone) {
    Py_DECREF(one.meter);
    Py_DECREF(one.lane);
    Py_DECREF(one.plan);
    Py_DECREF(one.native);
  }
}

bool is_same(PyObject* known, PyObject* text) {
  return known == text || (PyUnicode_CheckExact(text) && PyUnicode_Compare(known, text) == 0);
}

const Open* find(const Turnstile& turnstile, PyObject* request) {
  PyObject* const meter = *slot_at(request, turnstile.meter);
  PyObject* const lane = *slot_at(request, turnstile.lane);
  PyObject* const cost = *slot_at(request, turnstile.cost);
  if (*slot_at(request, turnstile.limit_key) != Py_None || cost == nullptr || !PyLong_CheckExact(cost)) {
    return nullptr;
  }
  int overflow = 0;
  const long spent = PyLong_AsLongAndOverflow(cost, &overflow);
  for (const Open& one : turnstile.open) {
    if (one.cost == spent && one.lane == lane && is_same(one.meter, meter)) {
      return overflow == 0 ? &one : nullptr;
    }
  }
  return nullptr;
}

void set(PyObject* value, Py_ssize_t offset, PyObject* held) {
  PyObject** const slot = slot_at(value, offset);
  PyObject* const old = *slot;
  *slot = held;
  Py_XDECREF(old);
}

/// A grant of nothing yet, taken at `mono_ns`; null with the error set.
PyObject* new_grant(const Turnstile& turnstile, std::int64_t mono_ns) {
  PyObject* const mono = PyLong_FromLongLong(mono_ns);
  if (mono == nullptr) {
    return nullptr;
  }
  PyTypeObject* const type = Py_TYPE(turnstile.plain);
  PyObject* const grant = type->tp_alloc(type, 0);
  if (grant == nullptr) {
    Py_DECREF(mono);
    return nullptr;
  }
  for (const Py_ssize_t offset : turnstile.grant->offsets) {
    *slot_at(grant, offset) = Py_XNewRef(*slot_at(turnstile.plain, offset));
  }
  set(grant, turnstile.grant_mono, mono);
  return grant;
}

PyObject* turnstile_take(PyObject* self, PyObject* request) {
  Turnstile& turnstile = turnstile_of(self);
  if (Py_TYPE(request) == turnstile.request && !turnstile.open.empty() && turnstile.plain != nullptr) {
    std::int64_t mono_ns = 0;
    std::int64_t wall_ns = 0;
    if (!turnstile.clock.mono(mono_ns) || !turnstile.clock.wall(wall_ns)) {
      return nullptr;
    }
    PyObject* const grant = new_grant(turnstile, mono_ns);
    if (grant == nullptr) {
      return nullptr;
    }
    // Looked up only now: what came before may have run code of others, from here on nothing does.
    const Open* const open = find(turnstile, request);
    if (open != nullptr && turnstile.from_ns <= wall_ns && wall_ns < turnstile.until_ns) {
      const std::int64_t wait =
          take_at_once(open->native, mono_ns, wall_ns + turnstile.offset_ns, open->plan_id, open->lane_id);
      if (wait == 0) {
        set(grant, turnstile.grant_plan, Py_NewRef(open->plan));
        set(grant, turnstile.grant_lane, Py_NewRef(open->lane));
        set(grant, turnstile.grant_native, Py_NewRef(open->native));
        return grant;
      }
      if (wait > 0) {
        Py_DECREF(grant);
        Py_RETURN_NONE;
      }
    }
    Py_DECREF(grant);
  }
  return PyObject_CallMethodOneArg(self, take_closer_name, request);
}

PyObject* turnstile_let_pass(PyObject* self, PyObject* args) {
  Turnstile& turnstile = turnstile_of(self);
  PyObject *meter = nullptr, *lane = nullptr, *plan = nullptr, *native = nullptr;
  long cost = 0;
  if (!PyArg_ParseTuple(args, "UlOO!O:_let_pass", &meter, &cost, &lane, &PyLong_Type, &plan, &native)) {
    return nullptr;
  }
  const long lane_id = PyLong_AsLong(lane);
  const std::size_t plan_id = PyLong_AsSize_t(plan);
  if (PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  if (lane_id < 0 || lane_id > 1 || !has_plan(native, plan_id)) {
    return PyErr_Format(PyExc_ValueError,
                        "found lane %ld and plan %zu, expected lane 0 or 1 and a plan of %R", lane_id,
                        plan_id, native);
  }
  const Open passing{meter, lane, plan, native, cost, plan_id, static_cast<dragoman::Lane>(lane_id)};
  Open before{};
  try {
    const auto same = std::find_if(turnstile.open.begin(), turnstile.open.end(), [&](const Open& one) {
      return one.cost == cost && one.lane == lane && is_same(one.meter, meter);
    });
    if (same != turnstile.open.end()) {
      before = std::exchange(*same, passing);
    } else {
      if (turnstile.open.size() >= kMostOpen) {
        let_go(turnstile.open);
      }
      turnstile.open.push_back(passing);
    }
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  Py_INCREF(meter);
  Py_INCREF(lane);
  Py_INCREF(plan);
  Py_INCREF(native);
  // Last, since what ends with them may look here.
  Py_XDECREF(before.meter);
  Py_XDECREF(before.lane);
  Py_XDECREF(before.plan);
  Py_XDECREF(before.native);
  Py_RETURN_NONE;
}

PyObject* turnstile_shut(PyObject* self, PyObject*) {
  let_go(turnstile_of(self).open);
  Py_RETURN_NONE;
}

PyObject* turnstile_set_local(PyObject* self, PyObject* args) {
  long long from_ns = 0, until_ns = 0, offset_ns = 0;
  if (!PyArg_ParseTuple(args, "LLL:_set_local", &from_ns, &until_ns, &offset_ns)) {
    return nullptr;
  }
  Turnstile& turnstile = turnstile_of(self);
  turnstile.from_ns = from_ns;
  turnstile.until_ns = until_ns;
  turnstile.offset_ns = offset_ns;
  Py_RETURN_NONE;
}

PyObject* turnstile_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* const self = type->tp_alloc(type, 0);
  if (self != nullptr) {
    new (&turnstile_of(self).open) std::vector<Open>();
  }
  return self;
}

/// Read where the fields lie; throws what pybind11 throws.
void read_fields(Turnstile& turnstile, PyTypeObject* request, PyObject* plain) {
  PyTypeObject* const grant = Py_TYPE(plain);
  const auto offset = [](PyTypeObject* type, const char* name) {
    const Py_ssize_t found = offset_of(type, known_layout(type), py::str(name).ptr());
    if (found < 0) throw py::error_already_set();
    return found;
  };
  turnstile.meter = offset(request, "meter");
  turnstile.cost = offset(request, "cost");
  turnstile.lane = offset(request, "lane");
  turnstile.limit_key = offset(request, "limit_key");
  turnstile.grant_plan = offset(grant, "plan");
  turnstile.grant_lane = offset(grant, "lane");
  turnstile.grant_native = offset(grant, "native");
  turnstile.grant_mono = offset(grant, "mono_ns");
  turnstile.grant = &known_layout(grant);
}

int turnstile_init(PyObject* self, PyObject* args, PyObject*) {
  PyObject *mono = nullptr, *wall = nullptr, *plain = nullptr;
  PyTypeObject* request = nullptr;
  if (!PyArg_ParseTuple(args, "OOO!O:Turnstile", &mono, &wall, &PyType_Type, &request, &plain)) {
    return -1;
  }
  Turnstile& turnstile = turnstile_of(self);
  let_go(turnstile.open);
  try {
    read_fields(turnstile, request, plain);
  } catch (py::error_already_set& error) {
    error.restore();
    return -1;
  } catch (const py::builtin_exception& error) {
    error.set_error();
    return -1;
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
    return -1;
  }
  turnstile.request = request;
  Py_XSETREF(turnstile.plain, Py_NewRef(plain));
  return turnstile.clock.take(mono, wall) ? 0 : -1;
}

int turnstile_traverse(PyObject* self, visitproc visit, void* arg) {
  const Turnstile& turnstile = turnstile_of(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(turnstile.plain);
  for (const Open& one : turnstile.open) {
    Py_VISIT(one.lane);
    Py_VISIT(one.native);
  }
  return turnstile.clock.traverse(visit, arg);
}

int turnstile_clear(PyObject* self) {
  Turnstile& turnstile = turnstile_of(self);
  let_go(turnstile.open);  // then `take` touches nothing of the rest
  Py_CLEAR(turnstile.plain);
  turnstile.clock.clear();
  return 0;
}

void turnstile_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  turnstile_clear(self);
  turnstile_of(self).open.~vector();
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef kMethods[] = {
    {"take", turnstile_take, METH_O, nullptr},
    {"_let_pass", turnstile_let_pass, METH_VARARGS, nullptr},
    {"_shut", turnstile_shut, METH_NOARGS, nullptr},
    {"_set_local", turnstile_set_local, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(turnstile_new)},
    {Py_tp_init, reinterpret_cast<void*>(turnstile_init)},
    {Py_tp_dealloc, reinterpret_cast<void*>(turnstile_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(turnstile_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(turnstile_clear)},
    {Py_tp_methods, kMethods},
    {0, nullptr},
};

PyType_Spec kSpec = {"dragoman._core.Turnstile", sizeof(Turnstile), 0,
                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
                     kSlots};

}  // namespace

void bind_turnstile(py::module_& m) {
  auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&kSpec));
  take_closer_name = PyUnicode_InternFromString("take_closer");
  if (!type || take_closer_name == nullptr) {
    throw py::error_already_set();
  }
  m.attr("Turnstile") = type;
}

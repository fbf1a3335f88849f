#include <cmath>
#include <new>

#include "bindings.hpp"
#include "py_batch.hpp"
#include "py_book.hpp"
#include "py_money.hpp"

namespace py = pybind11;

namespace {

using book_types::method;
using dragoman::Triggers;
using money::Names;

constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kHighest = std::numeric_limits<std::int64_t>::max();
constexpr const char* kKinds[] = {"below", "above", "trail_below", "trail_above"};

struct PyTriggers {
  PyObject_HEAD Triggers* triggers;
};

PyTypeObject* triggers_type = nullptr;

Triggers& triggers_of(PyObject* self) {
  return *reinterpret_cast<PyTriggers*>(self)->triggers;
}

PyObject* triggers_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"max_delay_ns", nullptr};
  PyObject* given = nullptr;
  std::int64_t max_delay_ns = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$O:Triggers", const_cast<char**>(names), &given) ||
      !money::read_int(given, "Triggers: max_delay_ns", 0, kHighest, max_delay_ns)) {
    return nullptr;
  }
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  auto* const triggers = new (std::nothrow) Triggers(max_delay_ns);
  reinterpret_cast<PyTriggers*>(self)->triggers = triggers;
  if (triggers == nullptr) {
    Py_DECREF(self);
    return PyErr_NoMemory();
  }
  return self;
}

void triggers_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  delete reinterpret_cast<PyTriggers*>(self)->triggers;
  type->tp_free(self);
  Py_DECREF(type);
}

bool read_kind(PyObject* given, Triggers::Kind& kind) {
  for (std::size_t i = 0; PyUnicode_Check(given) && i < std::size(kKinds); ++i) {
    if (PyUnicode_CompareWithASCIIString(given, kKinds[i]) == 0) {
      kind = static_cast<Triggers::Kind>(i);
      return true;
    }
  }
  PyErr_Format(PyExc_ValueError,
               "Triggers.arm: kind is %R, expected 'below', 'above', 'trail_below' or 'trail_above'", given);
  return false;
}

/// Refuse what could never fire, or would follow nothing.
bool check_order(const Triggers::Order& order, PyObject* level, PyObject* trail, PyObject* step) {
  const bool trails = order.kind >= Triggers::Kind::trail_below;
  if (trails ? order.level <= 0.0 : !(order.level > 0.0)) {
    PyErr_Format(PyExc_ValueError, "Triggers.arm: level is %R, expected a price above 0%s", level,
                 trails ? ", or NaN to start from the first price" : "");
    return false;
  }
  if (!trails && (trail != nullptr || step != nullptr || order.percent) &&
      !(std::isnan(order.trail) && order.step == 0.0 && !order.percent)) {
    PyErr_SetString(PyExc_ValueError,
                    "Triggers.arm: trail, percent and step are of 'trail_below' and 'trail_above' only");
    return false;
  }
  if (trails && !(order.trail > 0.0 &&
                  !(order.percent && order.kind == Triggers::Kind::trail_below && order.trail >= 100.0))) {
    PyErr_Format(PyExc_ValueError, "Triggers.arm: trail is %R, expected a distance above 0%s",
                 trail != nullptr ? trail : Py_None, order.percent ? " and below 100 percent" : "");
    return false;
  }
  if (order.step < 0.0) {
    PyErr_Format(PyExc_ValueError, "Triggers.arm: step is %R, expected 0 (any move) or more", step);
    return false;
  }
  return true;
}

PyObject* triggers_arm(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  static constexpr Names<9> kNames{
      "Triggers.arm",
      {"id", "instrument", "kind", "level", "trail", "source", "after_ns", "percent", "step"},
      4,
      4};
  std::array<PyObject*, 9> given;
  std::int64_t id = 0;
  Triggers::Order order{0,
                        dragoman::PriceSource::last,
                        Triggers::Kind::below,
                        false,
                        dragoman::kNoPrice,
                        dragoman::kNoPrice,
                        0.0,
                        0};
  if (!kNames.sort(args, count, keywords, given) ||
      !money::read_int(given[0], "Triggers.arm: id", kLowest, kHighest, id) ||
      !money::read_instrument(given[1], order.instrument) || !read_kind(given[2], order.kind) ||
      !money::read_number(given[3], "Triggers.arm: level", dragoman::kMaxPrice, true, order.level) ||
      !money::read_number(given[4], "Triggers.arm: trail", dragoman::kMaxPrice, true, order.trail) ||
      !money::read_source(given[5], order.source) ||
      !money::read_int(given[6], "Triggers.arm: after_ns", 0, kHighest - 1, order.after_ns) ||
      !money::read_number(given[8], "Triggers.arm: step", dragoman::kMaxPrice, false, order.step)) {
    return nullptr;
  }
  if (given[7] != nullptr) {
    const int percent = PyObject_IsTrue(given[7]);
    if (percent < 0) return nullptr;
    order.percent = percent != 0;
  }
  if (!check_order(order, given[3], given[4], given[8])) return nullptr;
  try {
    triggers_of(self).arm(id, order);
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  Py_RETURN_NONE;
}

PyObject* triggers_disarm(PyObject* self, PyObject* given) {
  std::int64_t id = 0;
  if (!money::read_int(given, "Triggers.disarm: id", kLowest, kHighest, id)) return nullptr;
  return PyBool_FromLong(triggers_of(self).disarm(id) ? 1 : 0);
}

/// What is armed under an id; null with KeyError set where nothing is.
const Triggers::Armed* find_armed(PyObject* self, PyObject* given) {
  std::int64_t id = 0;
  if (!money::read_int(given, "Triggers: id", kLowest, kHighest, id)) return nullptr;
  const Triggers::Armed* const found = triggers_of(self).find(id);
  if (found == nullptr) PyErr_SetObject(PyExc_KeyError, given);
  return found;
}

template <double Triggers::Armed::* kMember>
PyObject* of_armed(PyObject* self, PyObject* given) {
  const Triggers::Armed* const found = find_armed(self, given);
  return found != nullptr ? PyFloat_FromDouble(found->*kMember) : nullptr;
}

PyObject* triggers_seen(PyObject* self, PyObject* given) {
  const Triggers::Armed* const found = find_armed(self, given);
  return found != nullptr ? PyLong_FromLongLong(triggers_of(self).seen_ns(*found)) : nullptr;
}

PyObject* triggers_apply(PyObject* self, PyObject* batch) {
  const dragoman::BatchView* const view = dragoman_batch_view(batch);
  if (view == nullptr) return nullptr;
  triggers_of(self).apply(*view);
  return fired_ids(triggers_of(self));
}

PyObject* triggers_fire_at(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  static constexpr Names<4> kNames{"Triggers.fire_at", {"instrument", "price", "ts", "source"}, 3, 3};
  std::array<PyObject*, 4> given;
  std::int32_t instrument = 0;
  std::int64_t ts = 0;
  dragoman::PriceSource source = dragoman::PriceSource::last;
  if (!kNames.sort(args, count, keywords, given) || !money::read_instrument(given[0], instrument) ||
      !money::read_int(given[2], "Triggers.fire_at: ts", kLowest + 1, kHighest - 1, ts) ||
      !money::read_source(given[3], source)) {
    return nullptr;
  }
  const double price = PyFloat_AsDouble(given[1]);
  if (price == -1.0 && PyErr_Occurred() != nullptr) return nullptr;
  triggers_of(self).fire_at(instrument, source, price, ts);
  return fired_ids(triggers_of(self));
}

PyObject* triggers_fired(PyObject* self, PyObject*) {
  const auto& fired = triggers_of(self).fired();
  PyObject* const tuple = PyTuple_New(static_cast<Py_ssize_t>(fired.size()));
  for (std::size_t i = 0; tuple != nullptr && i < fired.size(); ++i) {
    const Triggers::Fired& one = fired[i];
    PyObject* const event = book_types::int_or_none(one.ts_event);
    PyObject* const row = event != nullptr
                              ? Py_BuildValue("(LddNL)", static_cast<long long>(one.id), one.price, one.level,
                                              event, static_cast<long long>(one.ts_recv))
                              : nullptr;
    if (row == nullptr) {
      Py_DECREF(tuple);
      return nullptr;
    }
    PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), row);
  }
  return tuple;
}

Py_ssize_t triggers_length(PyObject* self) {
  return static_cast<Py_ssize_t>(triggers_of(self).size());
}

int triggers_contains(PyObject* self, PyObject* given) {
  std::int64_t id = 0;
  if (!money::read_int(given, "Triggers: id", kLowest, kHighest, id)) return -1;
  return triggers_of(self).find(id) != nullptr ? 1 : 0;
}

PyObject* get_counters(PyObject* self, void*) {
  return money::counter_dict(triggers_of(self).counters());
}
PyObject* get_max_delay(PyObject* self, void*) {
  return PyLong_FromLongLong(triggers_of(self).max_delay_ns());
}

PyGetSetDef triggers_getset[] = {
    {"counters", get_counters, nullptr, nullptr, nullptr},
    {"max_delay_ns", get_max_delay, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef triggers_methods[] = {
    {"arm", method(triggers_arm), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"disarm", triggers_disarm, METH_O, nullptr},
    {"level", of_armed<&Triggers::Armed::level>, METH_O, nullptr},
    {"best", of_armed<&Triggers::Armed::best>, METH_O, nullptr},
    {"seen_ns", triggers_seen, METH_O, nullptr},
    {"apply", triggers_apply, METH_O, nullptr},
    {"fire_at", method(triggers_fire_at), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"fired", triggers_fired, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot triggers_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(triggers_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(triggers_dealloc)},
    {Py_sq_length, reinterpret_cast<void*>(triggers_length)},
    {Py_sq_contains, reinterpret_cast<void*>(triggers_contains)},
    {Py_tp_getset, triggers_getset},
    {Py_tp_methods, triggers_methods},
    {0, nullptr},
};

PyType_Spec triggers_spec = {"dragoman._core.Triggers", sizeof(PyTriggers), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, triggers_slots};

}  // namespace

dragoman::Triggers* triggers_in(PyObject* object) {
  return object != nullptr && Py_TYPE(object) == triggers_type ? &triggers_of(object) : nullptr;
}

PyObject* fired_ids(const Triggers& triggers) {
  const auto& fired = triggers.fired();
  PyObject* const tuple = PyTuple_New(static_cast<Py_ssize_t>(fired.size()));
  for (std::size_t i = 0; tuple != nullptr && i < fired.size(); ++i) {
    PyObject* const id = PyLong_FromLongLong(fired[i].id);
    if (id == nullptr) {
      Py_DECREF(tuple);
      return nullptr;
    }
    PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), id);
  }
  return tuple;
}

void bind_triggers(py::module_& m) {
  auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&triggers_spec));
  if (!type) throw py::error_already_set();
  triggers_type = reinterpret_cast<PyTypeObject*>(type.ptr());
  m.attr("Triggers") = type;
}

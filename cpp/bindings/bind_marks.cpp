#include <new>
#include <stdexcept>
#include <vector>

#include "bindings.hpp"
#include "dragoman/instruments.hpp"
#include "py_batch.hpp"
#include "py_book.hpp"
#include "py_money.hpp"

namespace py = pybind11;

namespace {

using book_types::method;
using dragoman::Marks;
using money::Names;

constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kHighest = std::numeric_limits<std::int64_t>::max();

struct PyMarks {
  PyObject_HEAD Marks* marks;
};

PyTypeObject* marks_type = nullptr;

Marks& marks_of(PyObject* self) {
  return *reinterpret_cast<PyMarks*>(self)->marks;
}

PyObject* marks_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"max_age_ns", "source", nullptr};
  PyObject *age = nullptr, *name = nullptr;
  std::int64_t max_age_ns = 0;
  dragoman::PriceSource source = dragoman::PriceSource::last;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "|OO:Marks", const_cast<char**>(names), &age, &name) ||
      !money::read_int(age, "Marks: max_age_ns", 0, kHighest, max_age_ns) ||
      !money::read_source(name, source)) {
    return nullptr;
  }
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  auto* const marks = new (std::nothrow) Marks(source, max_age_ns);
  reinterpret_cast<PyMarks*>(self)->marks = marks;
  if (marks == nullptr) {
    Py_DECREF(self);
    return PyErr_NoMemory();
  }
  return self;
}

void marks_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  delete reinterpret_cast<PyMarks*>(self)->marks;
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* marks_set(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  static constexpr Names<7> kNames{
      "Marks.set", {"slot", "instrument", "quantity", "average", "multiplier", "close", "group"}, 4, 7};
  std::array<PyObject*, 7> given;
  std::int64_t slot = 0;
  Marks::Position position{0, 0, 0.0, 0.0, 1.0, dragoman::kNoPrice};
  if (!kNames.sort(args, count, keywords, given) ||
      !money::read_int(given[0], "Marks.set: slot", 0, Marks::kMaxSlots - 1, slot) ||
      !money::read_instrument(given[1], position.instrument) ||
      !money::read_number(given[2], "Marks.set: quantity", dragoman::kMaxPrice, false, position.quantity) ||
      !money::read_number(given[3], "Marks.set: average", dragoman::kMaxPrice, true, position.average) ||
      !money::read_number(given[4], "Marks.set: multiplier", dragoman::kMaxPrice, false,
                          position.multiplier) ||
      !money::read_number(given[5], "Marks.set: close", dragoman::kMaxPrice, true, position.close) ||
      !money::read_int(given[6], "Marks.set: group", kLowest, kHighest, position.group)) {
    return nullptr;
  }
  try {
    marks_of(self).set(static_cast<std::uint32_t>(slot), position);
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  Py_RETURN_NONE;
}

/// A slot that is held; KeyError otherwise.
bool read_held(PyObject* self, PyObject* given, std::uint32_t& slot) {
  int overflow = 0;
  const long long read = PyLong_AsLongLongAndOverflow(given, &overflow);
  if (read == -1 && overflow == 0 && PyErr_Occurred() != nullptr) return false;
  if (overflow != 0 || read < 0 || read >= Marks::kMaxSlots ||
      !marks_of(self).holds(static_cast<std::uint32_t>(read))) {
    PyErr_SetObject(PyExc_KeyError, given);
    return false;
  }
  slot = static_cast<std::uint32_t>(read);
  return true;
}

PyObject* marks_remove(PyObject* self, PyObject* given) {
  std::uint32_t slot = 0;
  if (!read_held(self, given, slot)) return nullptr;
  marks_of(self).remove(slot);
  Py_RETURN_NONE;
}

PyObject* marks_apply(PyObject* self, PyObject* batch) {
  const dragoman::BatchView* const view = dragoman_batch_view(batch);
  return view == nullptr ? nullptr : PyLong_FromSize_t(marks_of(self).apply(*view));
}

PyObject* marks_mark(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  static constexpr Names<3> kNames{"Marks.mark", {"instrument", "price", "ts"}, 3, 3};
  std::array<PyObject*, 3> given;
  std::int32_t instrument = 0;
  std::int64_t ts = 0;
  if (!kNames.sort(args, count, keywords, given) || !money::read_instrument(given[0], instrument) ||
      !money::read_int(given[2], "Marks.mark: ts", kLowest + 1, kHighest, ts)) {
    return nullptr;
  }
  const double price = PyFloat_AsDouble(given[1]);
  if (price == -1.0 && PyErr_Occurred() != nullptr) return nullptr;
  try {
    return PyBool_FromLong(marks_of(self).mark(instrument, price, ts) ? 1 : 0);
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
}

PyObject* marks_price(PyObject* self, PyObject* given) {
  std::int32_t instrument = 0;
  return money::read_instrument(given, instrument) ? PyFloat_FromDouble(marks_of(self).price(instrument))
                                                   : nullptr;
}

PyObject* marks_time(PyObject* self, PyObject* given) {
  std::int32_t instrument = 0;
  return money::read_instrument(given, instrument) ? PyLong_FromLongLong(marks_of(self).time(instrument))
                                                   : nullptr;
}

PyObject* marks_stale(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  static constexpr Names<2> kNames{"Marks.stale", {"instrument", "now_ns"}, 2, 2};
  std::array<PyObject*, 2> given;
  std::int32_t instrument = 0;
  std::int64_t now = 0;
  if (!kNames.sort(args, count, keywords, given) || !money::read_instrument(given[0], instrument) ||
      !money::read_int(given[1], "Marks.stale: now_ns", kLowest, kHighest, now)) {
    return nullptr;
  }
  return PyBool_FromLong(marks_of(self).stale(instrument, now) ? 1 : 0);
}

template <double (Marks::*kGetter)(std::uint32_t) const noexcept>
PyObject* of_slot(PyObject* self, PyObject* given) {
  std::uint32_t slot = 0;
  return read_held(self, given, slot) ? PyFloat_FromDouble((marks_of(self).*kGetter)(slot)) : nullptr;
}

bool read_group(PyObject* given, std::int64_t& group) {
  return money::read_int(given, "Marks: group", kLowest, kHighest, group);
}

PyObject* marks_total(PyObject* self, PyObject* given) {
  std::int64_t group = 0;
  return read_group(given, group) ? PyFloat_FromDouble(marks_of(self).total(group)) : nullptr;
}

PyObject* marks_missing(PyObject* self, PyObject* given) {
  std::int64_t group = 0;
  return read_group(given, group) ? PyLong_FromSize_t(marks_of(self).missing(group)) : nullptr;
}

PyObject* marks_watch(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  static constexpr Names<2> kNames{"Marks.watch", {"group", "below"}, 2, 2};
  std::array<PyObject*, 2> given;
  std::int64_t group = 0;
  if (!kNames.sort(args, count, keywords, given) || !read_group(given[0], group)) return nullptr;
  const double below = PyFloat_AsDouble(given[1]);
  if (below == -1.0 && PyErr_Occurred() != nullptr) return nullptr;
  if (below != below) {
    PyErr_SetString(PyExc_ValueError, "Marks.watch: below is NaN, which no total reaches; expected a number");
    return nullptr;
  }
  try {
    marks_of(self).watch(group, below);
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  Py_RETURN_NONE;
}

PyObject* marks_unwatch(PyObject* self, PyObject* given) {
  std::int64_t group = 0;
  return read_group(given, group) ? PyBool_FromLong(marks_of(self).unwatch(group) ? 1 : 0) : nullptr;
}

template <class Value, void (Marks::*kTake)(std::vector<Value>&)>
PyObject* taken(PyObject* self, PyObject*) {
  try {
    std::vector<Value> values;
    (marks_of(self).*kTake)(values);
    PyObject* const tuple = PyTuple_New(static_cast<Py_ssize_t>(values.size()));
    for (std::size_t i = 0; tuple != nullptr && i < values.size(); ++i) {
      PyObject* const value = PyLong_FromLongLong(values[i]);
      if (value == nullptr) {
        Py_DECREF(tuple);
        return nullptr;
      }
      PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), value);
    }
    return tuple;
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
}

Py_ssize_t marks_length(PyObject* self) {
  return static_cast<Py_ssize_t>(marks_of(self).size());
}

PyObject* get_counters(PyObject* self, void*) {
  return money::counter_dict(marks_of(self).counters());
}
PyObject* get_source(PyObject* self, void*) {
  return PyUnicode_FromString(money::source_name(marks_of(self).source()));
}
PyObject* get_max_age(PyObject* self, void*) {
  return PyLong_FromLongLong(marks_of(self).max_age_ns());
}

PyGetSetDef marks_getset[] = {
    {"counters", get_counters, nullptr, nullptr, nullptr},
    {"source", get_source, nullptr, nullptr, nullptr},
    {"max_age_ns", get_max_age, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef marks_methods[] = {
    {"set", method(marks_set), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"remove", marks_remove, METH_O, nullptr},
    {"apply", marks_apply, METH_O, nullptr},
    {"mark", method(marks_mark), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"price", marks_price, METH_O, nullptr},
    {"time", marks_time, METH_O, nullptr},
    {"stale", method(marks_stale), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"unrealised", of_slot<&Marks::unrealised>, METH_O, nullptr},
    {"day", of_slot<&Marks::day>, METH_O, nullptr},
    {"value", of_slot<&Marks::value>, METH_O, nullptr},
    {"total", marks_total, METH_O, nullptr},
    {"missing", marks_missing, METH_O, nullptr},
    {"watch", method(marks_watch), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"unwatch", marks_unwatch, METH_O, nullptr},
    {"crossed", taken<std::int64_t, &Marks::take_crossed>, METH_NOARGS, nullptr},
    {"touched", taken<std::uint32_t, &Marks::take_touched>, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot marks_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(marks_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(marks_dealloc)},
    {Py_sq_length, reinterpret_cast<void*>(marks_length)},
    {Py_tp_getset, marks_getset},
    {Py_tp_methods, marks_methods},
    {0, nullptr},
};

PyType_Spec marks_spec = {"dragoman._core.Marks", sizeof(PyMarks), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, marks_slots};

/// Marks that are good for money at this moment, looked up by name on the order path: one call, not six.
struct FreshMarks {
  PyObject_HEAD PyObject* marks;  // held, as the others
  PyObject* wall_ns;
  PyObject* interrupted;
  std::int64_t max_age_ns;
};

FreshMarks& fresh_of(PyObject* self) {
  return *reinterpret_cast<FreshMarks*>(self);
}

PyObject* fresh_new(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject *marks = nullptr, *wall_ns = nullptr, *interrupted = nullptr, *age = nullptr;
  std::int64_t max_age_ns = 0;
  if (!PyArg_ParseTuple(args, "O!OOO!:FreshMarks", marks_type, &marks, &wall_ns, &age, &PyDict_Type,
                        &interrupted) ||
      !money::read_int(age, "FreshMarks: max_age_ns", 0, kHighest, max_age_ns)) {
    return nullptr;
  }
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  FreshMarks& fresh = fresh_of(self);
  fresh.marks = Py_NewRef(marks);
  fresh.wall_ns = Py_NewRef(wall_ns);
  fresh.interrupted = Py_NewRef(interrupted);
  fresh.max_age_ns = max_age_ns;
  return self;
}

int fresh_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(fresh_of(self).marks);
  Py_VISIT(fresh_of(self).wall_ns);
  Py_VISIT(fresh_of(self).interrupted);
  return 0;
}

/// The clock alone can be part of a cycle; the rest stays, so that a call is safe to the last.
int fresh_clear(PyObject* self) {
  Py_CLEAR(fresh_of(self).wall_ns);
  return 0;
}

void fresh_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  fresh_clear(self);
  Py_CLEAR(fresh_of(self).marks);
  Py_CLEAR(fresh_of(self).interrupted);
  type->tp_free(self);
  Py_DECREF(type);
}

/// The handle of a name, given one where it has none; -1 with an exception.
std::int32_t interned(PyObject* name) {
  Py_ssize_t size = 0;
  const char* const text = PyUnicode_AsUTF8AndSize(name, &size);
  if (text == nullptr) return -1;
  try {
    const auto handle = dragoman::intern_instrument({text, static_cast<std::size_t>(size)});
    if (handle < dragoman::kMaxWatched) return handle;
    PyErr_Format(PyExc_IndexError, "instrument %R has handle %d, expected less than %d", name, handle,
                 static_cast<int>(dragoman::kMaxWatched));
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  }
  return -1;
}

/// Whether the stream of an instrument left something out at `ts` or later; -1 with an exception.
int is_cut(PyObject* interrupted, std::int32_t handle, std::int64_t ts) {
  if (PyDict_GET_SIZE(interrupted) == 0) return 0;
  PyObject* const key = PyLong_FromLong(handle);
  if (key == nullptr) return -1;
  PyObject* const at = PyDict_GetItemWithError(interrupted, key);
  Py_DECREF(key);
  if (at == nullptr) return PyErr_Occurred() != nullptr ? -1 : 0;
  const long long cut = PyLong_AsLongLong(at);
  return cut == -1 && PyErr_Occurred() != nullptr ? -1 : ts <= cut;
}

PyObject* fresh_price(PyObject* self, PyObject* name) {
  const FreshMarks& fresh = fresh_of(self);
  const std::int32_t handle = interned(name);
  if (handle < 0) return nullptr;
  const Marks& marks = marks_of(fresh.marks);
  const double price = marks.price(handle);
  if (price != price) Py_RETURN_NONE;
  const std::int64_t ts = marks.time(handle);
  if (fresh.wall_ns == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "FreshMarks: its clock was collected");
    return nullptr;
  }
  PyObject* const told = PyObject_CallNoArgs(fresh.wall_ns);
  if (told == nullptr) return nullptr;
  const long long now = PyLong_AsLongLong(told);
  Py_DECREF(told);
  if (now == -1 && PyErr_Occurred() != nullptr) return nullptr;
  if (ts < now - fresh.max_age_ns) Py_RETURN_NONE;
  const int cut = is_cut(fresh.interrupted, handle, ts);
  if (cut < 0) return nullptr;
  if (cut != 0) Py_RETURN_NONE;
  return PyFloat_FromDouble(price);
}

PyMethodDef fresh_methods[] = {
    {"price", fresh_price, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot fresh_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(fresh_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(fresh_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(fresh_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(fresh_clear)},
    {Py_tp_methods, fresh_methods},
    {0, nullptr},
};

PyType_Spec fresh_spec = {"dragoman._core.FreshMarks", sizeof(FreshMarks), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE, fresh_slots};

}  // namespace

dragoman::Marks* marks_in(PyObject* object) {
  return object != nullptr && Py_TYPE(object) == marks_type ? &marks_of(object) : nullptr;
}

void bind_marks(py::module_& m) {
  auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&marks_spec));
  if (!type) throw py::error_already_set();
  marks_type = reinterpret_cast<PyTypeObject*>(type.ptr());
  m.attr("Marks") = type;
  auto fresh = py::reinterpret_steal<py::object>(PyType_FromSpec(&fresh_spec));
  if (!fresh) throw py::error_already_set();
  m.attr("FreshMarks") = fresh;
}

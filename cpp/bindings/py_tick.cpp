#include "py_tick.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <string_view>

#include "dragoman/instruments.hpp"
#include "py_record.hpp"

/// `Tick` is a raw type because it is made once per packet: a header and the record, nothing else. It refers
/// to no other object, so the garbage collector need not know it.
namespace {

using dragoman::Record;

struct PyTick {
  PyObject_HEAD Record record;
};
static_assert(offsetof(PyTick, record) % alignof(Record) == 0);

/// First byte of a pickled tick: the shape of what follows. A record that grows gets the next number.
constexpr char kPickleVersion = 1;
constexpr std::uint32_t kAllBits = (1u << dragoman::kSlots) - 1 | dragoman::kHasTsEvent |
                                   dragoman::kHasLastTradeTime | dragoman::kHasSequence |
                                   dragoman::kHasPrevSequence;

PyTypeObject* tick_type = nullptr;
PyObject* restore_function = nullptr;

const Record* record_of(PyObject* self) {
  return &reinterpret_cast<PyTick*>(self)->record;
}

void tick_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_Free(self);
  Py_DECREF(type);
}

Py_hash_t tick_hash(PyObject* self) {
  std::uint64_t words[sizeof(Record) / 8];
  std::memcpy(words, record_of(self), sizeof words);
  std::uint64_t hash = 0x9E3779B97F4A7C15u;
  for (const std::uint64_t word : words) {
    hash = (hash ^ word) * 0xD6E8FEB86659FD93u;
    hash ^= hash >> 32;
  }
  const auto result = static_cast<Py_hash_t>(hash);
  return result == -1 ? -2 : result;
}

PyObject* tick_compare(PyObject* self, PyObject* other, int op) {
  if (Py_TYPE(other) != tick_type || (op != Py_EQ && op != Py_NE)) {
    Py_RETURN_NOTIMPLEMENTED;
  }
  // Absent values are one canonical NaN and zeros carry no sign, so equal content is equal bytes.
  const bool same = std::memcmp(record_of(self), record_of(other), sizeof(Record)) == 0;
  return PyBool_FromLong(same == (op == Py_EQ));
}

/// Call `visit(name, value)` for each present field in storage order; stops at the first failure.
template <class Visit>
bool each_present(const Record& record, Visit visit) {
  const struct {
    const char* name;
    std::uint32_t bit;
    std::int64_t value;
  } integers[] = {{"ts_event", dragoman::kHasTsEvent, record.ts_event},
                  {"last_trade_time", dragoman::kHasLastTradeTime, record.last_trade_time},
                  {"sequence", dragoman::kHasSequence, record.sequence},
                  {"prev_sequence", dragoman::kHasPrevSequence, record.prev_sequence}};
  for (const auto& integer : integers) {
    if ((record.present & integer.bit) != 0 && !visit(integer.name, PyLong_FromLongLong(integer.value))) {
      return false;
    }
  }
  for (std::size_t i = 0; i < dragoman::kSlots; ++i) {
    if ((record.present >> i & 1u) != 0 &&
        !visit(record_attributes::kSlotNames[i], PyFloat_FromDouble(record.values[i]))) {
      return false;
    }
  }
  return true;
}

PyObject* tick_as_dict(PyObject* self, PyObject*) {
  PyObject* const dict = PyDict_New();
  if (dict == nullptr) {
    return nullptr;
  }
  const bool filled = each_present(*record_of(self), [dict](const char* name, PyObject* value) {
    const bool stored = value != nullptr && PyDict_SetItemString(dict, name, value) == 0;
    Py_XDECREF(value);
    return stored;
  });
  if (!filled) {
    Py_DECREF(dict);
    return nullptr;
  }
  return dict;
}

PyObject* tick_repr(PyObject* self) {
  const Record& record = *record_of(self);
  PyObject* const parts = PyList_New(0);
  if (parts == nullptr) {
    return nullptr;
  }
  const auto append = [parts](PyObject* text) {
    const bool appended = text != nullptr && PyList_Append(parts, text) == 0;
    Py_XDECREF(text);
    return appended;
  };
  PyObject* const kind = record_attributes::kind(record);
  PyObject* const id = record_attributes::instrument_id(record.instrument);
  PyObject* head = nullptr;
  if (kind != nullptr && id != nullptr) {
    head = id == Py_None ? PyUnicode_FromFormat("key=%lld %U", static_cast<long long>(record.key), kind)
                         : PyUnicode_FromFormat("%U %U", id, kind);
  }
  Py_XDECREF(kind);
  Py_XDECREF(id);
  PyObject* joined = nullptr;
  const bool listed = append(head) && each_present(record, [&append](const char* name, PyObject* value) {
                        PyObject* const text =
                            value != nullptr ? PyUnicode_FromFormat("%s=%R", name, value) : nullptr;
                        Py_XDECREF(value);
                        return append(text);
                      });
  if (listed) {
    PyObject* const blank = PyUnicode_FromString(" ");
    joined = blank != nullptr ? PyUnicode_Join(blank, parts) : nullptr;
    Py_XDECREF(blank);
  }
  Py_DECREF(parts);
  if (joined == nullptr) {
    return nullptr;
  }
  PyObject* const text = PyUnicode_FromFormat("Tick(%U)", joined);
  Py_DECREF(joined);
  return text;
}

PyObject* tick_reduce(PyObject* self, PyObject*) {
  const Record& record = *record_of(self);
  char bytes[1 + sizeof(Record)];
  bytes[0] = kPickleVersion;
  std::memcpy(bytes + 1, &record, sizeof record);
  PyObject* const id = record_attributes::instrument_id(record.instrument);
  if (id == nullptr) {
    return nullptr;
  }
  return Py_BuildValue("O(y#N)", restore_function, bytes, static_cast<Py_ssize_t>(sizeof bytes), id);
}

/// Whether the masks, enums and absent values of a record that came from outside agree with one another.
bool is_consistent(const Record& record) {
  if (record.kind > dragoman::Kind::status || record.mode > dragoman::Mode::full ||
      (record.present & ~kAllBits) != 0 || (record.changed & ~record.present) != 0) {
    return false;
  }
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  for (std::size_t i = 0; i < dragoman::kSlots; ++i) {
    const double value = record.values[i];
    if ((record.present >> i & 1u) != 0 ? !std::isfinite(value)
                                        : std::memcmp(&value, &kNan, sizeof kNan) != 0) {
      return false;
    }
  }
  const auto agrees = [&record](std::uint32_t bit, std::int64_t value) {
    return ((record.present & bit) != 0) == (value != dragoman::kAbsentInt);
  };
  return agrees(dragoman::kHasTsEvent, record.ts_event) &&
         agrees(dragoman::kHasLastTradeTime, record.last_trade_time) &&
         agrees(dragoman::kHasSequence, record.sequence) &&
         agrees(dragoman::kHasPrevSequence, record.prev_sequence);
}

/// _restore_tick(bytes, instrument_id): what a pickled tick names. Handles differ between processes, so the
/// instrument travels by its id.
PyObject* restore_tick(PyObject*, PyObject* args) {
  const char* bytes = nullptr;
  Py_ssize_t size = 0;
  PyObject* id = nullptr;
  if (!PyArg_ParseTuple(args, "y#O:_restore_tick", &bytes, &size, &id)) {
    return nullptr;
  }
  if (size != 1 + static_cast<Py_ssize_t>(sizeof(Record)) || bytes[0] != kPickleVersion) {
    return PyErr_Format(PyExc_ValueError, "pickled tick: found %zd bytes, expected %zu of version %d", size,
                        1 + sizeof(Record), static_cast<int>(kPickleVersion));
  }
  Record record;
  std::memcpy(&record, bytes + 1, sizeof record);
  record.instrument = dragoman::kUnbound;
  if (id != Py_None) {
    Py_ssize_t length = 0;
    const char* const text = PyUnicode_AsUTF8AndSize(id, &length);
    if (text == nullptr) {
      return nullptr;
    }
    if (length == 0) {
      PyErr_SetString(PyExc_ValueError, "pickled tick: the instrument id is empty");
      return nullptr;
    }
    try {
      record.instrument = dragoman::intern_instrument({text, static_cast<std::size_t>(length)});
    } catch (const std::bad_alloc&) {
      return PyErr_NoMemory();
    }
  }
  if (!is_consistent(record)) {
    PyErr_SetString(PyExc_ValueError, "pickled tick: its masks and values contradict each other");
    return nullptr;
  }
  return make_tick(record);
}

PyMethodDef restore_method = {"_restore_tick", restore_tick, METH_VARARGS, nullptr};

}  // namespace

PyObject* make_tick(const Record& record) {
  auto* const tick = static_cast<PyTick*>(PyObject_Malloc(sizeof(PyTick)));
  if (tick == nullptr) {
    return PyErr_NoMemory();
  }
  PyObject_Init(reinterpret_cast<PyObject*>(tick), tick_type);
  typedef long long Piece __attribute__((vector_size(16), may_alias));
  const auto* const from = reinterpret_cast<const Piece*>(&record);
  auto* const to = reinterpret_cast<Piece*>(&tick->record);
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    ((to[I] = from[I]), ...);
  }(std::make_index_sequence<sizeof(Record) / 16>{});
  // Where it stood in its frame is no part of the value.
  tick->record.level_begin = 0;
  tick->record.level_count = 0;
  tick->record.source = 0;
  return reinterpret_cast<PyObject*>(tick);
}

bool add_tick_type(PyObject* module) {
  static PyMethodDef methods[] = {{"as_dict", tick_as_dict, METH_NOARGS, nullptr},
                                  {"__reduce__", tick_reduce, METH_NOARGS, nullptr},
                                  {nullptr, nullptr, 0, nullptr}};
  PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(tick_dealloc)},
                         {Py_tp_hash, reinterpret_cast<void*>(tick_hash)},
                         {Py_tp_richcompare, reinterpret_cast<void*>(tick_compare)},
                         {Py_tp_repr, reinterpret_cast<void*>(tick_repr)},
                         {Py_tp_methods, methods},
                         {Py_tp_getset, record_attributes::Getters<record_of>::table()},
                         {0, nullptr}};
  PyType_Spec spec = {"dragoman._core.Tick", sizeof(PyTick), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
                      slots};
  tick_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  if (tick_type == nullptr ||
      PyModule_AddObjectRef(module, "Tick", reinterpret_cast<PyObject*>(tick_type)) < 0) {
    return false;
  }
  PyObject* const module_name = PyModule_GetNameObject(module);
  if (module_name == nullptr) {
    return false;
  }
  restore_function = PyCFunction_NewEx(&restore_method, module, module_name);
  Py_DECREF(module_name);
  return restore_function != nullptr && PyModule_AddObjectRef(module, "_restore_tick", restore_function) == 0;
}

#include <Python.h>
#include <structmember.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <vector>

#include "bindings.hpp"
#include "py_clock.hpp"

namespace py = pybind11;

/// A wall clock and what is added to it: the median of the last samples, where it is beyond a threshold. What
/// a sample is worth is told by dragoman.session.brokertime.
///
/// The date of a reply is text that changes once a second, so what was read of the last one is kept.
///
/// Everything here runs under the GIL.
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kMost = 4'000'000'000 * kSecond;  // the difference of two still fits
constexpr std::size_t kEnough = 3;

struct OffsetClock {
  PyObject_HEAD NsClock wall;
  PyObject* read_date;  // held
  PyObject* date;       // held; the text read last
  std::int64_t date_ns;
  bool is_date;  // whether that text is one
  long long offset_ns;
  std::int64_t threshold_ns;
  std::vector<std::int64_t> samples;  // a ring once it is full
  std::size_t most;
  std::size_t oldest;
  std::size_t beyond;  // how many samples are beyond the threshold
};

OffsetClock& clock_of(PyObject* self) {
  return *reinterpret_cast<OffsetClock*>(self);
}

bool read_now(const OffsetClock& clock, std::int64_t& ns) {
  if (!clock.wall.read(ns)) {
    return false;
  }
  ns += clock.offset_ns;
  return true;
}

PyObject* clock_read(PyObject* self, PyObject*) {
  std::int64_t ns = 0;
  return read_now(clock_of(self), ns) ? PyLong_FromLongLong(ns) : nullptr;
}

std::int64_t median_of(std::vector<std::int64_t> samples) {
  std::sort(samples.begin(), samples.end());
  const std::size_t half = samples.size() / 2;
  if (samples.size() % 2 != 0) {
    return samples[half];
  }
  // Rounded down, and without the sum of both.
  const std::int64_t low = samples[half - 1];
  const auto apart = static_cast<std::uint64_t>(samples[half]) - static_cast<std::uint64_t>(low);
  return low + static_cast<std::int64_t>(apart / 2);
}

bool is_beyond(const OffsetClock& clock, std::int64_t ns) {
  return ns > clock.threshold_ns || ns < -clock.threshold_ns;
}

/// Take one sample; throws std::bad_alloc.
void take_sample(OffsetClock& clock, std::int64_t sample) {
  if (clock.samples.size() < clock.most) {
    clock.samples.push_back(sample);
  } else {
    std::int64_t& place = clock.samples[clock.oldest];
    clock.oldest = (clock.oldest + 1) % clock.most;
    clock.beyond -= is_beyond(clock, place) ? 1 : 0;
    place = sample;
  }
  clock.beyond += is_beyond(clock, sample) ? 1 : 0;
  if (clock.beyond == 0) {
    clock.offset_ns = 0;  // where none is beyond it, neither is their median
    return;
  }
  // One odd sample (a cached page, a proxy's clock) must not move the clock by hours.
  const std::int64_t median = median_of(clock.samples);
  clock.offset_ns = clock.samples.size() >= kEnough && is_beyond(clock, median) ? median : 0;
}

bool is_same_text(PyObject* known, PyObject* text) {
  return known == text ||
         (known != nullptr && PyUnicode_CheckExact(text) &&
          PyUnicode_GET_LENGTH(known) == PyUnicode_GET_LENGTH(text) && PyUnicode_Compare(known, text) == 0);
}

/// Read a date that is another than the last: 1 read, 0 none, -1 an exception.
int read_anew(OffsetClock& clock, PyObject* date, std::int64_t& when) {
  if (clock.read_date == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "clock: it was collected");
    return -1;
  }
  PyObject* const found = PyObject_CallOneArg(clock.read_date, date);
  if (found == nullptr) {
    return -1;
  }
  int overflow = 0;
  when = found == Py_None ? 0 : PyLong_AsLongLongAndOverflow(found, &overflow);
  const bool is_date = found != Py_None && overflow == 0;
  Py_DECREF(found);
  if (PyErr_Occurred() != nullptr) {
    return -1;
  }
  if (PyUnicode_CheckExact(date)) {
    Py_XSETREF(clock.date, Py_NewRef(date));
    clock.date_ns = when;
    clock.is_date = is_date;
  }
  return is_date ? 1 : 0;
}

bool is_in_range(std::int64_t ns) {
  return -kMost < ns && ns < kMost;
}

PyObject* clock_observe(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count != 3) {
    return PyErr_Format(PyExc_TypeError, "observe takes a date, when it was asked for and when it came");
  }
  OffsetClock& clock = clock_of(self);
  if (args[0] == Py_None) {
    Py_RETURN_NONE;
  }
  std::int64_t when = clock.date_ns;
  if (is_same_text(clock.date, args[0])) {
    if (!clock.is_date) {
      Py_RETURN_NONE;
    }
  } else if (const int read = read_anew(clock, args[0], when); read <= 0) {
    return read < 0 ? nullptr : Py_NewRef(Py_None);
  }
  const std::int64_t sent = PyLong_AsLongLong(args[1]);
  const std::int64_t received = PyLong_AsLongLong(args[2]);
  if (PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  if (received < sent || !is_in_range(sent) || !is_in_range(received) || !is_in_range(when)) {
    Py_RETURN_NONE;
  }
  try {
    // The header is cut down to its second: half a second is the expected rest.
    take_sample(clock, when + kSecond / 2 - (sent + (received - sent) / 2));
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  Py_RETURN_NONE;
}

PyObject* clock_now(PyObject* self, void*) {
  return clock_read(self, nullptr);
}

PyObject* clock_measured(PyObject* self, void*) {
  const OffsetClock& clock = clock_of(self);
  if (clock.samples.empty()) {
    Py_RETURN_NONE;
  }
  try {
    return PyLong_FromLongLong(median_of(clock.samples));
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
}

PyObject* clock_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* const self = type->tp_alloc(type, 0);
  if (self != nullptr) {
    new (&clock_of(self).samples) std::vector<std::int64_t>();
  }
  return self;
}

int clock_init(PyObject* self, PyObject* args, PyObject*) {
  PyObject *wall = nullptr, *read_date = nullptr;
  long long threshold_ns = 0;
  Py_ssize_t most = 0;
  if (!PyArg_ParseTuple(args, "OLnO:OffsetClock", &wall, &threshold_ns, &most, &read_date)) {
    return -1;
  }
  if (most < 1 || threshold_ns < 0) {
    PyErr_Format(PyExc_ValueError, "OffsetClock: found %zd samples and a threshold of %lld ns, expected more",
                 most, threshold_ns);
    return -1;
  }
  OffsetClock& clock = clock_of(self);
  clock.samples.clear();
  clock.most = static_cast<std::size_t>(most);
  clock.oldest = clock.beyond = 0;
  clock.offset_ns = 0;
  clock.threshold_ns = threshold_ns;
  Py_XSETREF(clock.read_date, Py_NewRef(read_date));
  return clock.wall.take(wall) ? 0 : -1;
}

int clock_traverse(PyObject* self, visitproc visit, void* arg) {
  const OffsetClock& clock = clock_of(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(clock.read_date);
  return clock.wall.traverse(visit, arg);
}

int clock_clear(PyObject* self) {
  OffsetClock& clock = clock_of(self);
  Py_CLEAR(clock.read_date);
  Py_CLEAR(clock.date);
  clock.wall.clear();
  return 0;
}

void clock_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  clock_clear(self);
  clock_of(self).samples.~vector();
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef kMethods[] = {
    {"read", clock_read, METH_NOARGS, nullptr},
    {"observe", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(clock_observe)), METH_FASTCALL,
     nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef kMembers[] = {
    {"offset_ns", T_LONGLONG, offsetof(OffsetClock, offset_ns), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef kGetters[] = {
    {"now_ns", clock_now, nullptr, nullptr, nullptr},
    {"measured_ns", clock_measured, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(clock_new)},
    {Py_tp_init, reinterpret_cast<void*>(clock_init)},
    {Py_tp_dealloc, reinterpret_cast<void*>(clock_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(clock_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(clock_clear)},
    {Py_tp_methods, kMethods},
    {Py_tp_members, kMembers},
    {Py_tp_getset, kGetters},
    {0, nullptr},
};

PyType_Spec kSpec = {"dragoman._core.OffsetClock", sizeof(OffsetClock), 0,
                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
                     kSlots};

}  // namespace

bool reads_offset_clock(PyObject* callable) {
  return PyCFunction_Check(callable) && PyCFunction_GET_FUNCTION(callable) == clock_read;
}

bool read_offset_clock(PyObject* clock, std::int64_t& ns) {
  return read_now(clock_of(clock), ns);
}

void bind_clock(py::module_& m) {
  auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&kSpec));
  if (!type) {
    throw py::error_already_set();
  }
  m.attr("OffsetClock") = type;
}

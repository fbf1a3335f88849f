#pragma once

#include <Python.h>

#include <cstdint>
#include <ctime>

/// Whether a callable is `OffsetClock.read` of one of them (bind_clock.cpp).
bool reads_offset_clock(PyObject* callable);

/// What such a clock reads. False with the error set where the clock below it is Python's and raises.
bool read_offset_clock(PyObject* clock, std::int64_t& ns);

/// One clock, as Python gives it: a callable without arguments that returns ns.
///
/// Those of the machine, `time.monotonic_ns` and `time.time_ns`, are known by identity and read without
/// Python, as is an `OffsetClock`; any other, such as a virtual one, is called. All need the GIL.
class NsClock {
 public:
  /// Take the callable, which is kept. False with the error set.
  bool take(PyObject* callable) {
    PyObject* const time = PyImport_ImportModule("time");
    if (time == nullptr) {
      return false;
    }
    PyObject* const mono = PyObject_GetAttrString(time, "monotonic_ns");
    PyObject* const wall = PyObject_GetAttrString(time, "time_ns");
    Py_DECREF(time);
    const bool known = mono != nullptr && wall != nullptr;
    if (known) {
      kind_ = callable == mono               ? Kind::kMonotonic
              : callable == wall             ? Kind::kRealtime
              : reads_offset_clock(callable) ? Kind::kOffset
                                             : Kind::kCalled;
      PyObject* const held = kind_ == Kind::kOffset ? PyCFunction_GET_SELF(callable) : callable;
      Py_XSETREF(held_, Py_NewRef(held));
    }
    Py_XDECREF(mono);
    Py_XDECREF(wall);
    return known;
  }

  /// False with the error set where the clock is Python's and raises.
  bool read(std::int64_t& ns) const {
    switch (kind_) {
      case Kind::kMonotonic:
        return read(CLOCK_MONOTONIC, ns);
      case Kind::kRealtime:
        return read(CLOCK_REALTIME, ns);
      case Kind::kOffset:
        if (held_ != nullptr) {
          return read_offset_clock(held_, ns);
        }
        break;
      case Kind::kCalled:
        break;
    }
    return call(held_, ns);
  }

  int traverse(visitproc visit, void* arg) const {
    Py_VISIT(held_);
    return 0;
  }
  void clear() { Py_CLEAR(held_); }

 private:
  enum class Kind : unsigned char { kCalled, kMonotonic, kRealtime, kOffset };

  static bool read(clockid_t id, std::int64_t& ns) {
    timespec now;
    clock_gettime(id, &now);
    ns = std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
    return true;
  }

  static bool call(PyObject* clock, std::int64_t& ns) {
    if (clock == nullptr) {
      PyErr_SetString(PyExc_RuntimeError, "clock: it was collected");
      return false;
    }
    PyObject* const held = Py_NewRef(clock);
    PyObject* const value = PyObject_CallNoArgs(held);
    Py_DECREF(held);
    if (value == nullptr) {
      return false;
    }
    ns = PyLong_AsLongLong(value);
    Py_DECREF(value);
    return ns != -1 || PyErr_Occurred() == nullptr;
  }

  PyObject* held_;
  Kind kind_;
};

/// The two clocks of a runtime.
class Clock {
 public:
  /// Take the callables, which are kept. False with the error set.
  bool take(PyObject* mono, PyObject* wall) { return mono_.take(mono) && wall_.take(wall); }

  /// False with the error set where the clock is Python's and raises.
  bool mono(std::int64_t& ns) const { return mono_.read(ns); }
  bool wall(std::int64_t& ns) const { return wall_.read(ns); }

  int traverse(visitproc visit, void* arg) const {
    const int found = mono_.traverse(visit, arg);
    return found != 0 ? found : wall_.traverse(visit, arg);
  }
  void clear() {
    mono_.clear();
    wall_.clear();
  }

 private:
  NsClock mono_;
  NsClock wall_;
};

#pragma once

#include <Python.h>

#include <cstdint>
#include <ctime>

/// The two clocks of a runtime, as Python gives them: callables without arguments that return ns.
///
/// Those of the machine, `time.monotonic_ns` and `time.time_ns`, are known by identity and read without
/// Python; any other, such as a virtual one, is called. All need the GIL.
class Clock {
 public:
  /// Take the callables, which are kept. False with the error set.
  bool take(PyObject* mono, PyObject* wall) {
    PyObject* const time = PyImport_ImportModule("time");
    if (time == nullptr) {
      return false;
    }
    PyObject* const machine_mono = PyObject_GetAttrString(time, "monotonic_ns");
    PyObject* const machine_wall = PyObject_GetAttrString(time, "time_ns");
    Py_DECREF(time);
    machine_ = mono == machine_mono && wall == machine_wall;
    const bool known = machine_mono != nullptr && machine_wall != nullptr;
    Py_XDECREF(machine_mono);
    Py_XDECREF(machine_wall);
    if (known) {
      Py_XSETREF(mono_, Py_NewRef(mono));
      Py_XSETREF(wall_, Py_NewRef(wall));
    }
    return known;
  }

  /// False with the error set where the clock is Python's and raises.
  bool mono(std::int64_t& ns) const { return machine_ ? read(CLOCK_MONOTONIC, ns) : call(mono_, ns); }
  bool wall(std::int64_t& ns) const { return machine_ ? read(CLOCK_REALTIME, ns) : call(wall_, ns); }

  int traverse(visitproc visit, void* arg) const {
    Py_VISIT(mono_);
    Py_VISIT(wall_);
    return 0;
  }
  void clear() {
    Py_CLEAR(mono_);
    Py_CLEAR(wall_);
  }

 private:
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
    PyObject* const value = PyObject_CallNoArgs(clock);
    if (value == nullptr) {
      return false;
    }
    ns = PyLong_AsLongLong(value);
    Py_DECREF(value);
    return ns != -1 || PyErr_Occurred() == nullptr;
  }

  PyObject* mono_;
  PyObject* wall_;
  bool machine_;
};

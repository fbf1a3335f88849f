#include <pybind11/pybind11.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#include "bindings.hpp"
#include "dragoman/histogram.hpp"
#include "py_histogram.hpp"

namespace py = pybind11;

// A raw type because `record` stands on the tick path: one METH_O call, which makes no object.

namespace {

using dragoman::Histogram;

struct PyHistogram {
  PyObject_HEAD Histogram* histogram;
};

PyTypeObject* histogram_type = nullptr;

Histogram& histogram_of(PyObject* self) {
  return *reinterpret_cast<PyHistogram*>(self)->histogram;
}

PyObject* histogram_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {nullptr};
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Histogram", const_cast<char**>(names))) {
    return nullptr;
  }
  std::unique_ptr<Histogram> made(new (std::nothrow) Histogram);
  if (made == nullptr) {
    return PyErr_NoMemory();
  }
  PyObject* const self = type->tp_alloc(type, 0);
  if (self != nullptr) {
    reinterpret_cast<PyHistogram*>(self)->histogram = made.release();
  }
  return self;
}

void histogram_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  delete reinterpret_cast<PyHistogram*>(self)->histogram;
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* histogram_record(PyObject* self, PyObject* value) {
  int overflow = 0;
  const long long read = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (read == -1 && overflow == 0 && PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  histogram_of(self).record(overflow > 0 ? Histogram::kMax : overflow < 0 ? -1 : read);
  Py_RETURN_NONE;
}

/// Record spans of time: a tuple of histograms, then for each when its span began and ended.
PyObject* record_spans(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count < 1 || !PyTuple_CheckExact(args[0]) || count != 1 + 2 * PyTuple_GET_SIZE(args[0])) {
    PyErr_SetString(PyExc_TypeError, "record_spans takes a tuple of histograms, and two times for each");
    return nullptr;
  }
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args[0]); ++i) {
    Histogram* const histogram = histogram_in(PyTuple_GET_ITEM(args[0], i));
    if (histogram == nullptr) {
      PyErr_Format(PyExc_TypeError, "record_spans: found %s, expected a Histogram",
                   Py_TYPE(PyTuple_GET_ITEM(args[0], i))->tp_name);
      return nullptr;
    }
    const long long from = PyLong_AsLongLong(args[1 + 2 * i]);
    const long long to = PyLong_AsLongLong(args[2 + 2 * i]);
    if ((from == -1 || to == -1) && PyErr_Occurred() != nullptr) {
      return nullptr;
    }
    long long span = 0;
    histogram->record(__builtin_sub_overflow(to, from, &span) ? -1 : span);
  }
  Py_RETURN_NONE;
}

PyObject* histogram_quantile(PyObject* self, PyObject* share) {
  const double q = PyFloat_AsDouble(share);
  if (q == -1.0 && PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  if (!(q >= 0.0 && q <= 1.0)) {
    PyErr_Format(PyExc_ValueError, "quantile: found %R, expected a share from 0 to 1", share);
    return nullptr;
  }
  if (histogram_of(self).count() == 0) {
    Py_RETURN_NONE;
  }
  return PyLong_FromLongLong(histogram_of(self).quantile(q));
}

PyObject* histogram_cumulative(PyObject* self, PyObject* bounds) {
  try {
    const auto wanted = py::reinterpret_borrow<py::object>(bounds).cast<py::sequence>();
    std::vector<std::int64_t> limits;
    limits.reserve(wanted.size());
    for (const py::handle bound : wanted) {
      limits.push_back(bound.cast<std::int64_t>());
      if (limits.size() > 1 && limits[limits.size() - 2] >= limits.back()) {
        PyErr_Format(PyExc_ValueError, "cumulative: %R, expected rising bounds", bounds);
        return nullptr;
      }
    }
    std::vector<std::uint64_t> counts(limits.size());
    histogram_of(self).cumulative(limits, counts);
    py::list found(counts.size());
    for (std::size_t i = 0; i < counts.size(); ++i) {
      found[i] = counts[i];
    }
    return found.release().ptr();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::cast_error&) {
    PyErr_Format(PyExc_TypeError, "cumulative: found %R, expected a sequence of int", bounds);
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  }
  return nullptr;
}

PyObject* histogram_merge(PyObject* self, PyObject* other) {
  if (Py_TYPE(other) != histogram_type) {
    PyErr_Format(PyExc_TypeError, "merge: found %s, expected a Histogram", Py_TYPE(other)->tp_name);
    return nullptr;
  }
  histogram_of(self).merge(histogram_of(other));
  Py_RETURN_NONE;
}

PyObject* histogram_reset(PyObject* self, PyObject*) {
  histogram_of(self).reset();
  Py_RETURN_NONE;
}

PyObject* histogram_repr(PyObject* self) {
  const Histogram& histogram = histogram_of(self);
  return PyUnicode_FromFormat(
      "<Histogram %llu values, p50 %lld, p99 %lld, max %lld>",
      static_cast<unsigned long long>(histogram.count()), static_cast<long long>(histogram.quantile(0.5)),
      static_cast<long long>(histogram.quantile(0.99)), static_cast<long long>(histogram.maximum()));
}

Py_ssize_t histogram_length(PyObject* self) {
  return static_cast<Py_ssize_t>(histogram_of(self).count());
}

PyObject* get_count(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(histogram_of(self).count());
}
PyObject* get_rejected(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(histogram_of(self).rejected());
}
PyObject* get_total(PyObject* self, void*) {
  return PyLong_FromLongLong(histogram_of(self).total());
}
PyObject* get_minimum(PyObject* self, void*) {
  return PyLong_FromLongLong(histogram_of(self).minimum());
}
PyObject* get_maximum(PyObject* self, void*) {
  return PyLong_FromLongLong(histogram_of(self).maximum());
}
PyObject* get_nbytes(PyObject*, void*) {
  return PyLong_FromSize_t(sizeof(Histogram) + sizeof(PyHistogram));
}

PyMethodDef histogram_methods[] = {
    {"record", histogram_record, METH_O, nullptr},         {"quantile", histogram_quantile, METH_O, nullptr},
    {"cumulative", histogram_cumulative, METH_O, nullptr}, {"merge", histogram_merge, METH_O, nullptr},
    {"reset", histogram_reset, METH_NOARGS, nullptr},      {nullptr, nullptr, 0, nullptr},
};

PyMethodDef functions[] = {
    {"record_spans", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(record_spans)), METH_FASTCALL,
     "record_spans(histograms, /, *times)\n--\n\nRecord a span of time in each histogram: from one time to "
     "the other."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef histogram_getters[] = {
    {"count", get_count, nullptr, nullptr, nullptr},
    {"rejected", get_rejected, nullptr, nullptr, nullptr},
    {"total", get_total, nullptr, nullptr, nullptr},
    {"minimum", get_minimum, nullptr, nullptr, nullptr},
    {"maximum", get_maximum, nullptr, nullptr, nullptr},
    {"nbytes", get_nbytes, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot histogram_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(histogram_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(histogram_dealloc)},
    {Py_tp_repr, reinterpret_cast<void*>(histogram_repr)},
    {Py_sq_length, reinterpret_cast<void*>(histogram_length)},
    {Py_tp_methods, histogram_methods},
    {Py_tp_getset, histogram_getters},
    {0, nullptr},
};

PyType_Spec histogram_spec = {"dragoman._core.Histogram", sizeof(PyHistogram), 0,
                              Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, histogram_slots};

}  // namespace

dragoman::Histogram* histogram_in(PyObject* object) {
  return object != nullptr && Py_TYPE(object) == histogram_type ? &histogram_of(object) : nullptr;
}

void bind_histogram(py::module_& m) {
  auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&histogram_spec));
  if (!type) {
    throw py::error_already_set();
  }
  histogram_type = reinterpret_cast<PyTypeObject*>(type.ptr());
  m.attr("Histogram") = type;
  if (PyModule_AddFunctions(m.ptr(), functions) != 0) {
    throw py::error_already_set();
  }
}

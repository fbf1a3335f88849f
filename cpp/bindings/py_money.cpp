#include "py_money.hpp"

#include <cmath>
#include <cstring>

#include "dragoman/instruments.hpp"

namespace money {

namespace {

constexpr const char* kSourceNames[dragoman::kPriceSources] = {"last", "mark", "mid"};

}  // namespace

bool sort_arguments(const char* function, const char* const* names, std::size_t count, std::size_t required,
                    std::size_t positional, PyObject* const* args, Py_ssize_t given, PyObject* keywords,
                    PyObject** into) {
  if (static_cast<std::size_t>(given) > positional) {
    PyErr_Format(PyExc_TypeError, "%s: found %zd positional arguments, expected at most %zu", function, given,
                 positional);
    return false;
  }
  for (Py_ssize_t i = 0; i < given; ++i) into[i] = args[i];
  const Py_ssize_t named = keywords != nullptr ? PyTuple_GET_SIZE(keywords) : 0;
  for (Py_ssize_t i = 0; i < named; ++i) {
    PyObject* const name = PyTuple_GET_ITEM(keywords, i);
    std::size_t at = 0;
    while (at < count && PyUnicode_CompareWithASCIIString(name, names[at]) != 0) ++at;
    if (at == count) {
      PyErr_Format(PyExc_TypeError, "%s: %R is none of its arguments", function, name);
      return false;
    }
    if (into[at] != nullptr) {
      PyErr_Format(PyExc_TypeError, "%s: %R is given twice", function, name);
      return false;
    }
    into[at] = args[given + i];
  }
  for (std::size_t at = 0; at < required; ++at) {
    if (into[at] == nullptr) {
      PyErr_Format(PyExc_TypeError, "%s: '%s' is missing", function, names[at]);
      return false;
    }
  }
  return true;
}

bool read_int(PyObject* given, const char* name, std::int64_t low, std::int64_t high, std::int64_t& value) {
  if (given == nullptr) return true;
  int overflow = 0;
  const long long read = PyLong_AsLongLongAndOverflow(given, &overflow);
  if (read == -1 && overflow == 0 && PyErr_Occurred() != nullptr) return false;
  if (overflow != 0 || read < low || read > high) {
    PyErr_Format(PyExc_ValueError, "%s is %R, expected an int from %lld to %lld", name, given,
                 static_cast<long long>(low), static_cast<long long>(high));
    return false;
  }
  value = read;
  return true;
}

bool read_number(PyObject* given, const char* name, double most, bool may_be_nan, double& value) {
  if (given == nullptr) return true;
  const double read = PyFloat_AsDouble(given);
  if (read == -1.0 && PyErr_Occurred() != nullptr) return false;
  if (std::isnan(read) ? !may_be_nan : !(std::fabs(read) <= most)) {
    PyErr_Format(PyExc_ValueError, "%s is %R, expected a finite number of at most 1e15 either way%s", name,
                 given, may_be_nan ? ", or NaN where it is unknown" : "");
    return false;
  }
  value = read;
  return true;
}

bool read_source(PyObject* given, dragoman::PriceSource& source) {
  if (given == nullptr) return true;
  for (std::size_t i = 0; PyUnicode_Check(given) && i < dragoman::kPriceSources; ++i) {
    if (PyUnicode_CompareWithASCIIString(given, kSourceNames[i]) == 0) {
      source = static_cast<dragoman::PriceSource>(i);
      return true;
    }
  }
  PyErr_Format(PyExc_ValueError, "source is %R, expected 'last', 'mark' or 'mid'", given);
  return false;
}

bool read_instrument(PyObject* given, std::int32_t& instrument) {
  const long long read = PyLong_AsLongLong(given);
  if (read == -1 && PyErr_Occurred() != nullptr) return false;
  if (read < 0 || read >= dragoman::instrument_count() || read >= dragoman::kMaxWatched) {
    PyErr_Format(PyExc_IndexError,
                 "no instrument has handle %lld; there are %d, see dragoman._core.intern_instrument", read,
                 static_cast<int>(dragoman::instrument_count()));
    return false;
  }
  instrument = static_cast<std::int32_t>(read);
  return true;
}

PyObject* counter_dict(const dragoman::PriceCounters& counters) {
  PyObject* const found = PyDict_New();
  if (found == nullptr) return nullptr;
  const auto put = [found](const char* name, std::uint64_t count) {
    PyObject* const value = PyLong_FromUnsignedLongLong(count);
    const bool done = value != nullptr && PyDict_SetItemString(found, name, value) == 0;
    Py_XDECREF(value);
    return done;
  };
#define DRAGOMAN_COUNTER(name)      \
  if (!put(#name, counters.name)) { \
    Py_DECREF(found);               \
    return nullptr;                 \
  }
  DRAGOMAN_PRICE_COUNTERS(DRAGOMAN_COUNTER)
#undef DRAGOMAN_COUNTER
  return found;
}

const char* source_name(dragoman::PriceSource source) {
  return kSourceNames[static_cast<std::size_t>(source)];
}

}  // namespace money

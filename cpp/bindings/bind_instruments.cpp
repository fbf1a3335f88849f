#include <exception>
#include <new>
#include <string>

#include "bindings.hpp"
#include "dragoman/instruments.hpp"

namespace py = pybind11;

namespace {

/// Raw because every order of a marked instrument asks for one.
PyObject* intern(PyObject*, PyObject* text) {
  if (!PyUnicode_Check(text)) {
    return PyErr_Format(PyExc_TypeError, "an instrument id is text, found a %s", Py_TYPE(text)->tp_name);
  }
  Py_ssize_t size = 0;
  const char* const letters = PyUnicode_AsUTF8AndSize(text, &size);
  if (letters == nullptr) {
    return nullptr;
  }
  try {
    return PyLong_FromLong(dragoman::intern_instrument({letters, static_cast<std::size_t>(size)}));
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
    return nullptr;
  }
}

PyMethodDef kMethods[] = {
    {"intern_instrument", intern, METH_O,
     "intern_instrument(instrument_id, /)\n--\n\nReturn the handle of a canonical id, making one the first "
     "time."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void bind_instruments(py::module_& m) {
  if (PyModule_AddFunctions(m.ptr(), kMethods) != 0) {
    throw py::error_already_set();
  }
  m.def(
      "instrument_name",
      [](std::int64_t handle) {
        const std::string_view name = dragoman::instrument_name(handle);
        if (name.empty()) {
          throw py::index_error("no instrument has handle " + std::to_string(handle) + "; there are " +
                                std::to_string(dragoman::instrument_count()));
        }
        return name;
      },
      py::arg("handle"));
  m.def("instrument_count", &dragoman::instrument_count);
}

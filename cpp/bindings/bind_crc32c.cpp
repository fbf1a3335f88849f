#include <Python.h>

#include <cstdint>

#include "bindings.hpp"
#include "dragoman/crc32c.hpp"

namespace py = pybind11;

namespace {

using Checksum = std::uint32_t (*)(const void*, std::size_t, std::uint32_t) noexcept;

PyObject* checked(Checksum checksum, PyObject* const* args, Py_ssize_t count) {
  if (count != 1 && count != 2) {
    PyErr_Format(PyExc_TypeError, "crc32c takes bytes and an optional seed, found %zd values", count);
    return nullptr;
  }
  unsigned long seed = 0;
  if (count == 2) {
    seed = PyLong_AsUnsignedLong(args[1]);
    if (PyErr_Occurred() != nullptr) {
      return nullptr;
    }
    if (seed > UINT32_MAX) {
      PyErr_Format(PyExc_OverflowError, "crc32c: the seed is %lu, expected at most 4294967295", seed);
      return nullptr;
    }
  }
  Py_buffer bytes;
  if (PyObject_GetBuffer(args[0], &bytes, PyBUF_SIMPLE) != 0) {
    return nullptr;
  }
  const std::uint32_t value =
      checksum(bytes.buf, static_cast<std::size_t>(bytes.len), static_cast<std::uint32_t>(seed));
  PyBuffer_Release(&bytes);
  return PyLong_FromUnsignedLong(value);
}

PyObject* crc32c(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return checked(dragoman::crc32c, args, count);
}

PyObject* crc32c_tables(PyObject*, PyObject* const* args, Py_ssize_t count) {
  return checked(dragoman::crc32c_tables, args, count);
}

PyMethodDef kMethods[] = {
    {"crc32c", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(crc32c)), METH_FASTCALL,
     "crc32c(data, seed=0, /)\n--\n\nReturn the CRC-32C of `data`, which continues that of what came "
     "before."},
    {"crc32c_tables", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(crc32c_tables)),
     METH_FASTCALL,
     "crc32c_tables(data, seed=0, /)\n--\n\nReturn what `crc32c` does, without the processor's instruction."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void bind_crc32c(py::module_& m) {
  if (PyModule_AddFunctions(m.ptr(), kMethods) != 0) {
    throw py::error_already_set();
  }
  m.attr("CRC32C_IN_HARDWARE") = dragoman::crc32c_in_hardware();
}

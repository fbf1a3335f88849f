#include <Python.h>

#include <array>
#include <cstdint>

#include "bindings.hpp"

namespace py = pybind11;

/// The wire id of a number, as dragoman.orders.identity describes it: 5 letters of the run, 5 of the number,
/// 2 of a check over both.
namespace {

constexpr char kAlphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr Py_ssize_t kRun = 5;
constexpr Py_ssize_t kHead = 10;
constexpr Py_ssize_t kWhole = 12;

/// CRC-32 as zlib has it, four bits at a time: its table is one line of the cache.
std::uint32_t crc32(const char* data, Py_ssize_t size) {
  static constexpr auto table = [] {
    std::array<std::uint32_t, 16> made{};
    for (std::uint32_t i = 0; i < made.size(); ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 4; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320U : 0U);
      made[i] = value;
    }
    return made;
  }();
  std::uint32_t value = 0xFFFFFFFFU;
  for (Py_ssize_t i = 0; i < size; ++i) {
    value ^= static_cast<unsigned char>(data[i]);
    value = (value >> 4) ^ table[value & 15];
    value = (value >> 4) ^ table[value & 15];
  }
  return ~value;
}

PyObject* wire_id(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 2 || !PyUnicode_Check(args[0]) || !PyUnicode_IS_COMPACT_ASCII(args[0]) ||
      PyUnicode_GET_LENGTH(args[0]) != kRun || !PyLong_Check(args[1])) {
    PyErr_SetString(PyExc_TypeError, "wire_id takes the name of a run, 5 letters, and a number");
    return nullptr;
  }
  const unsigned long long number = PyLong_AsUnsignedLongLong(args[1]);
  if (number == static_cast<unsigned long long>(-1) && PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  PyObject* made = PyUnicode_New(kWhole, 127);
  if (made == nullptr) {
    return nullptr;
  }
  char* letters = static_cast<char*>(PyUnicode_DATA(made));
  const char* run = static_cast<const char*>(PyUnicode_DATA(args[0]));
  for (Py_ssize_t i = 0; i < kRun; ++i) letters[i] = run[i];
  for (Py_ssize_t i = kRun; i < kHead; ++i) letters[i] = kAlphabet[number >> (5 * (kHead - 1 - i)) & 31];
  const std::uint32_t check = crc32(letters, kHead);
  letters[kHead] = kAlphabet[check >> 5 & 31];
  letters[kHead + 1] = kAlphabet[check & 31];
  return made;
}

PyMethodDef kMethods[] = {
    {"wire_id", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(wire_id)), METH_FASTCALL,
     "wire_id(run, number, /)\n--\n\nReturn the wire id of a number of a run."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void bind_identity(py::module_& m) {
  if (PyModule_AddFunctions(m.ptr(), kMethods) != 0) {
    throw py::error_already_set();
  }
}

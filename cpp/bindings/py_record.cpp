#include "py_record.hpp"

#include <array>
#include <string_view>
#include <vector>

#include "dragoman/instruments.hpp"

namespace record_attributes {
namespace {

constexpr const char* kKindNames[] = {"quote", "trade", "depth_snapshot", "depth_delta", "status"};
constexpr const char* kModeNames[] = {"none", "ltp", "quote", "full"};

PyObject* kind_tuple = nullptr;
PyObject* mode_tuple = nullptr;

template <std::size_t N>
PyObject* names_tuple(const char* const (&names)[N]) {
  PyObject* const tuple = PyTuple_New(N);
  for (std::size_t i = 0; tuple != nullptr && i < N; ++i) {
    PyObject* const name = PyUnicode_InternFromString(names[i]);
    if (name == nullptr) {
      Py_DECREF(tuple);
      return nullptr;
    }
    PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), name);
  }
  return tuple;
}

PyObject* name_at(PyObject* tuple, std::size_t index) {
  return Py_NewRef(PyTuple_GET_ITEM(tuple, static_cast<Py_ssize_t>(index)));
}

}  // namespace

const char* const kSlotNames[dragoman::kSlots] = {
#define DRAGOMAN_NAME(name) #name,
    DRAGOMAN_RECORD_FIELDS(DRAGOMAN_NAME)
#undef DRAGOMAN_NAME
};

bool prepare() {
  kind_tuple = names_tuple(kKindNames);
  mode_tuple = names_tuple(kModeNames);
  return kind_tuple != nullptr && mode_tuple != nullptr;
}

PyObject* kinds() {
  return Py_NewRef(kind_tuple);
}
PyObject* modes() {
  return Py_NewRef(mode_tuple);
}

PyObject* slot(const dragoman::Record& record, std::size_t index) {
  if ((record.present >> index & 1u) == 0) {
    Py_RETURN_NONE;
  }
  return PyFloat_FromDouble(record.values[index]);
}

PyObject* integer_or_none(std::int64_t value) {
  if (value == dragoman::kAbsentInt) {
    Py_RETURN_NONE;
  }
  return PyLong_FromLongLong(value);
}

PyObject* kind(const dragoman::Record& record) {
  return name_at(kind_tuple, static_cast<std::size_t>(record.kind));
}
PyObject* mode(const dragoman::Record& record) {
  return name_at(mode_tuple, static_cast<std::size_t>(record.mode));
}

PyObject* instrument_id(std::int32_t handle) {
  static std::vector<PyObject*> cache;  // by handle; handles are never reused, so entries never go stale
  if (handle < 0) {
    Py_RETURN_NONE;
  }
  const auto index = static_cast<std::size_t>(handle);
  if (index < cache.size() && cache[index] != nullptr) {
    return Py_NewRef(cache[index]);
  }
  const std::string_view name = dragoman::instrument_name(handle);
  if (name.empty()) {
    Py_RETURN_NONE;
  }
  PyObject* const text = PyUnicode_FromStringAndSize(name.data(), static_cast<Py_ssize_t>(name.size()));
  if (text == nullptr) {
    return nullptr;
  }
  if (index >= cache.size()) {
    cache.resize(static_cast<std::size_t>(dragoman::instrument_count()), nullptr);
  }
  cache[index] = Py_NewRef(text);
  return text;
}

}  // namespace record_attributes

#include <Python.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "bindings.hpp"
#include "dragoman/journal_record.hpp"
#include "dragoman/journal_run.hpp"

namespace py = pybind11;
using namespace pybind11::literals;

namespace {

py::tuple run(const py::buffer& chunk, std::size_t offset, std::uint64_t sequence, const py::bytes& previous,
              std::uint32_t epoch, std::uint16_t stop_kind) {
  const py::buffer_info bytes = chunk.request();
  if (bytes.itemsize != 1 || bytes.ndim != 1 || bytes.strides[0] != 1) {
    throw py::value_error("journal_run: the chunk is not one row of bytes");
  }
  const std::string_view hash = previous;
  dragoman::JournalRun from;
  if (hash.size() != from.hash.size()) {
    throw py::value_error("journal_run: the hash has " + std::to_string(hash.size()) + " bytes, expected 16");
  }
  std::memcpy(from.hash.data(), hash.data(), hash.size());
  from.offset = offset;
  from.sequence = sequence;
  const auto found =
      dragoman::journal_run({static_cast<const std::byte*>(bytes.ptr), static_cast<std::size_t>(bytes.size)},
                            from, epoch, stop_kind);
  return py::make_tuple(found.offset, found.sequence,
                        py::bytes(reinterpret_cast<const char*>(found.hash.data()), found.hash.size()),
                        found.newest_ns, found.count, found.kind);
}

py::bytes hash_of(const py::buffer& data) {
  const py::buffer_info bytes = data.request();
  const auto hash = dragoman::blake2b_16(bytes.ptr, static_cast<std::size_t>(bytes.size * bytes.itemsize));
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

std::string_view view_of(PyObject* bytes) {
  return {PyBytes_AS_STRING(bytes), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes))};
}

/// A record and its hash. It stands on the order path, so its arguments are read by hand.
PyObject* record(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 7 || !PyBytes_Check(args[1]) || !PyBytes_Check(args[5]) || !PyBytes_Check(args[6])) {
    PyErr_SetString(
        PyExc_TypeError,
        "journal_record takes kind, payload, sequence, time_ns, epoch, run, previous: three of them bytes");
    return nullptr;
  }
  const std::string_view payload = view_of(args[1]);
  const std::string_view previous = view_of(args[6]);
  dragoman::JournalHead head;
  const unsigned long kind = PyLong_AsUnsignedLong(args[0]);
  head.sequence = PyLong_AsUnsignedLongLong(args[2]);
  head.time_ns = PyLong_AsLongLong(args[3]);
  const unsigned long epoch = PyLong_AsUnsignedLong(args[4]);
  head.run = view_of(args[5]);
  if (PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  if (kind > UINT16_MAX || epoch > UINT32_MAX || payload.size() > UINT32_MAX || head.run.size() != 5 ||
      previous.size() != head.previous.size()) {
    PyErr_SetString(
        PyExc_ValueError,
        "journal_record: kind takes 16 bits, epoch and the length of the payload 32, run has 5 bytes and"
        " previous 16");
    return nullptr;
  }
  head.kind = static_cast<std::uint16_t>(kind);
  head.epoch = static_cast<std::uint32_t>(epoch);
  std::memcpy(head.previous.data(), previous.data(), previous.size());
  const std::size_t size = dragoman::journal_record_size(payload.size());
  PyObject* bytes = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size));
  if (bytes == nullptr) {
    return nullptr;
  }
  const auto hash = dragoman::write_journal_record(
      {reinterpret_cast<std::byte*>(PyBytes_AS_STRING(bytes)), size}, head, payload);
  return Py_BuildValue("(Ny#)", bytes, reinterpret_cast<const char*>(hash.data()),
                       static_cast<Py_ssize_t>(hash.size()));
}

PyMethodDef kMethods[] = {
    {"journal_record", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(record)), METH_FASTCALL,
     "journal_record(kind, payload, sequence, time_ns, epoch, run, previous, /)\n--\n\nReturn a record of a "
     "journal"
     " and its hash."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void bind_journal(py::module_& m) {
  m.def("journal_run", run, "chunk"_a, "offset"_a, "sequence"_a, "previous"_a, "epoch"_a, "stop_kind"_a);
  m.def("blake2b_16", hash_of, "data"_a);
  if (PyModule_AddFunctions(m.ptr(), kMethods) != 0) {
    throw py::error_already_set();
  }
}

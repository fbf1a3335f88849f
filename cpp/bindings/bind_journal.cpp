#include <Python.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
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

/// What an entry of the journal's queue tells of its record.
struct Told {
  PyObject* payload = nullptr;  // held
  dragoman::JournalHead head;
};

PyObject* const* entry_names() {
  static PyObject* names[] = {PyUnicode_InternFromString("kind"), PyUnicode_InternFromString("payload"),
                              PyUnicode_InternFromString("sequence"), PyUnicode_InternFromString("time_ns")};
  return names;
}

/// Return a number of an entry; what cannot be one leaves an exception.
long long number_of(PyObject* entry, PyObject* name) {
  PyObject* held = PyObject_GetAttr(entry, name);
  if (held == nullptr) {
    return -1;
  }
  const long long number = PyLong_AsLongLong(held);
  Py_DECREF(held);
  return number;
}

bool read_entry(PyObject* entry, Told& told) {
  PyObject* const* names = entry_names();
  const long long kind = number_of(entry, names[0]);
  const long long sequence = number_of(entry, names[2]);
  told.head.time_ns = number_of(entry, names[3]);
  if (PyErr_Occurred() != nullptr) {
    return false;
  }
  if (kind < 0 || kind > UINT16_MAX || sequence < 0) {
    PyErr_Format(PyExc_ValueError, "an entry has kind %lld and sequence %lld", kind, sequence);
    return false;
  }
  told.head.kind = static_cast<std::uint16_t>(kind);
  told.head.sequence = static_cast<std::uint64_t>(sequence);
  told.payload = PyObject_GetAttr(entry, names[1]);
  if (told.payload == nullptr) {
    return false;
  }
  if (!PyBytes_Check(told.payload) || PyBytes_GET_SIZE(told.payload) > UINT32_MAX) {
    Py_CLEAR(told.payload);
    PyErr_SetString(PyExc_TypeError, "the payload of an entry is not bytes that a record holds");
    return false;
  }
  return true;
}

/// Append the record of an entry where it fits into `room`; 1 done, 0 no room, -1 an exception.
int append_record(PyObject* entry, std::size_t room, dragoman::JournalHead& chain, std::string& out) {
  Told told;
  if (!read_entry(entry, told)) {
    return -1;
  }
  const std::string_view payload = view_of(told.payload);
  const std::size_t size = dragoman::journal_record_size(payload.size());
  const bool fits = out.size() + size <= room;
  if (fits) {
    chain.kind = told.head.kind;
    chain.sequence = told.head.sequence;
    chain.time_ns = told.head.time_ns;
    const std::size_t at = out.size();
    try {
      out.resize(at + size);
    } catch (...) {
      Py_DECREF(told.payload);
      throw;
    }
    chain.previous =
        dragoman::write_journal_record({reinterpret_cast<std::byte*>(out.data() + at), size}, chain, payload);
  }
  Py_DECREF(told.payload);
  return fits ? 1 : 0;
}

/// Append the records of as many entries as there is room for; their number, -1 with an exception.
Py_ssize_t append_records(PyObject* entries, std::size_t room, dragoman::JournalHead& chain,
                          std::string& out) {
  PyObject* each = PyObject_GetIter(entries);
  if (each == nullptr) {
    return -1;
  }
  Py_ssize_t count = 0;
  int done = 1;
  for (PyObject* entry = PyIter_Next(each); entry != nullptr; entry = PyIter_Next(each)) {
    try {
      done = append_record(entry, room, chain, out);
    } catch (const std::bad_alloc&) {
      PyErr_NoMemory();
      done = -1;
    }
    Py_DECREF(entry);
    if (done <= 0) {
      break;
    }
    ++count;
  }
  Py_DECREF(each);
  return PyErr_Occurred() != nullptr ? -1 : count;
}

PyObject* records(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 5 || !PyBytes_Check(args[3]) || !PyBytes_Check(args[4])) {
    PyErr_SetString(PyExc_TypeError,
                    "journal_records takes entries, room, epoch, run, previous: two of them bytes");
    return nullptr;
  }
  dragoman::JournalHead chain;
  const long long room = PyLong_AsLongLong(args[1]);
  const unsigned long epoch = PyLong_AsUnsignedLong(args[2]);
  chain.run = view_of(args[3]);
  const std::string_view previous = view_of(args[4]);
  if (PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  if (epoch > UINT32_MAX || chain.run.size() != 5 || previous.size() != chain.previous.size()) {
    PyErr_SetString(PyExc_ValueError,
                    "journal_records: epoch takes 32 bits, run has 5 bytes and previous 16");
    return nullptr;
  }
  chain.epoch = static_cast<std::uint32_t>(epoch);
  std::memcpy(chain.previous.data(), previous.data(), previous.size());
  std::string out;
  const Py_ssize_t done = append_records(args[0], room < 0 ? 0 : static_cast<std::size_t>(room), chain, out);
  if (done < 0) {
    return nullptr;
  }
  return Py_BuildValue("(y#y#n)", out.data(), static_cast<Py_ssize_t>(out.size()),
                       reinterpret_cast<const char*>(chain.previous.data()),
                       static_cast<Py_ssize_t>(chain.previous.size()), done);
}

PyMethodDef kMethods[] = {
    {"journal_records", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(records)), METH_FASTCALL,
     "journal_records(entries, room, epoch, run, previous, /)\n--\n\nReturn the records of as many entries "
     "as fit"
     " into `room` bytes, the hash of the last, and how many they are."},
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

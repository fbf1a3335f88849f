#include <Python.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "dragoman/journal_queue.hpp"

namespace py = pybind11;

/// The end of a journal: what waits to be written, and where in the present chunk it goes.
///
/// It stands on the order path, so its arguments are read by hand. Everything here runs under the GIL, on the
/// journal's loop; what a file or a clock of Python does meanwhile finds a queue that is whole.
namespace {

using dragoman::Hash16;
using dragoman::JournalQueue;

struct Queue {
  PyObject_HEAD JournalQueue* records;
  PyObject* wall_ns;  // held
  PyObject* file;     // held; null before the first chunk
  std::size_t size;   // of the chunk
  std::size_t end;    // where the next record goes
  std::size_t edge;   // `write` does not go beyond
  std::size_t limit;
  std::size_t longest;
  bool shut;
  bool writing;  // inside the file's own calls
};

Queue& queue_of(PyObject* self) {
  return *reinterpret_cast<Queue*>(self);
}

JournalQueue& records_of(PyObject* self) {
  return *queue_of(self).records;
}

std::string_view view_of(PyObject* bytes) {
  return {PyBytes_AS_STRING(bytes), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes))};
}

PyObject* bytes_of(std::string_view text) {
  return PyBytes_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}

/// Names of what a file has; null with an exception.
struct FileNames {
  PyObject* size = PyUnicode_InternFromString("size");
  PyObject* write = PyUnicode_InternFromString("write");
  PyObject* sync = PyUnicode_InternFromString("sync");
};

const FileNames& file_names() {
  static const FileNames names;
  return names;
}

bool read_kind(PyObject* given, std::uint16_t& kind) {
  const long number = PyLong_AsLong(given);
  if (number == -1 && PyErr_Occurred() != nullptr) {
    return false;
  }
  if (number < 0 || number > UINT16_MAX) {
    PyErr_Format(PyExc_ValueError, "a record's kind is %ld, expected 0 to 65535", number);
    return false;
  }
  kind = static_cast<std::uint16_t>(number);
  return true;
}

PyObject* queue_new(PyTypeObject* type, PyObject* args, PyObject*) {
  unsigned long long epoch = 0;
  unsigned long long sequence = 0;
  PyObject* run = nullptr;
  PyObject* previous = nullptr;
  PyObject* wall_ns = nullptr;
  Py_ssize_t limit = 0;
  Py_ssize_t longest = 0;
  if (!PyArg_ParseTuple(args, "KSKSnnO:JournalQueue", &epoch, &run, &sequence, &previous, &limit, &longest,
                        &wall_ns)) {
    return nullptr;
  }
  Hash16 hash;
  if (epoch > UINT32_MAX || PyBytes_GET_SIZE(run) != 5 || view_of(previous).size() != hash.size() ||
      limit < 0 || longest < 0 || longest > UINT32_MAX) {
    PyErr_SetString(
        PyExc_ValueError,
        "JournalQueue: epoch takes 32 bits, run has 5 bytes and previous 16, limit and longest are "
        "not negative");
    return nullptr;
  }
  std::memcpy(hash.data(), PyBytes_AS_STRING(previous), hash.size());
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) {
    return nullptr;
  }
  Queue& queue = queue_of(self);
  queue.records =
      new (std::nothrow) JournalQueue(static_cast<std::uint32_t>(epoch), view_of(run), sequence, hash);
  if (queue.records == nullptr) {
    Py_DECREF(self);
    return PyErr_NoMemory();
  }
  queue.wall_ns = Py_NewRef(wall_ns);
  queue.limit = static_cast<std::size_t>(limit);
  queue.longest = static_cast<std::size_t>(longest);
  return self;
}

int queue_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(queue_of(self).wall_ns);
  Py_VISIT(queue_of(self).file);
  return 0;
}

int queue_clear(PyObject* self) {
  Queue& queue = queue_of(self);
  queue.shut = true;
  Py_CLEAR(queue.wall_ns);
  Py_CLEAR(queue.file);
  return 0;
}

void queue_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  queue_clear(self);
  delete queue_of(self).records;
  type->tp_free(self);
  Py_DECREF(type);
}

Py_ssize_t queue_length(PyObject* self) {
  return static_cast<Py_ssize_t>(records_of(self).waiting());
}

PyObject* queue_put(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  Queue& queue = queue_of(self);
  if (count != 2) {
    PyErr_SetString(PyExc_TypeError, "put takes a kind and a payload");
    return nullptr;
  }
  if (queue.shut || !PyBytes_Check(args[1]) || view_of(args[1]).size() > queue.longest ||
      queue.records->waiting() >= queue.limit) {
    return PyLong_FromLong(0);
  }
  std::uint16_t kind = 0;
  if (!read_kind(args[0], kind)) {
    return nullptr;
  }
  PyObject* now = PyObject_CallNoArgs(queue.wall_ns);
  if (now == nullptr) {
    return nullptr;
  }
  const long long time_ns = PyLong_AsLongLong(now);
  Py_DECREF(now);
  if (time_ns == -1 && PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  // Numbered only now: a number that was given and not used would read as a lost record.
  try {
    queue.records->put(kind, time_ns, view_of(args[1]));
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  return PyLong_FromUnsignedLongLong(queue.records->sequence());
}

/// Call a method of the file; false with an exception.
bool call(PyObject* name, PyObject* const* args, std::size_t count) {
  PyObject* answer = PyObject_VectorcallMethod(name, args, count, nullptr);
  Py_XDECREF(answer);
  return answer != nullptr;
}

bool write_and_sync(PyObject* file, std::size_t offset, PyObject* data) {
  PyObject* at = PyLong_FromSize_t(offset);
  if (at == nullptr) {
    return false;
  }
  PyObject* const args[] = {file, at, data};
  const bool good = call(file_names().write, args, 3) && call(file_names().sync, args, 1);
  Py_DECREF(at);
  return good;
}

/// Refuse what a file asks for from inside its own write: it would go to the place that is being written.
bool is_free(const Queue& queue) {
  if (queue.writing) {
    PyErr_SetString(PyExc_RuntimeError, "the journal's file asks for a write from inside its own");
  }
  return !queue.writing;
}

PyObject* queue_write(PyObject* self, PyObject*) {
  Queue& queue = queue_of(self);
  if (!is_free(queue)) {
    return nullptr;
  }
  JournalQueue& records = *queue.records;
  const std::size_t size = records.bytes_waiting();
  if (queue.file == nullptr || size == 0 || records.on_way() != 0 || queue.end + size >= queue.edge) {
    Py_RETURN_FALSE;
  }
  PyObject* data = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size));
  if (data == nullptr) {
    return nullptr;
  }
  const Hash16 before = records.hash();
  std::memcpy(PyBytes_AS_STRING(data), records.take(size).data(), size);
  PyObject* file = Py_NewRef(queue.file);
  queue.writing = true;
  const bool good = write_and_sync(file, queue.end, data);
  queue.writing = false;
  Py_DECREF(file);
  Py_DECREF(data);
  if (!good) {
    records.give_back(before);
    return nullptr;
  }
  queue.end += size;
  records.settle();
  Py_RETURN_TRUE;
}

PyObject* queue_take(PyObject* self, PyObject* head) {
  Queue& queue = queue_of(self);
  JournalQueue& records = *queue.records;
  if (!PyBytes_Check(head)) {
    PyErr_SetString(PyExc_TypeError, "take: the head of the chunk is not bytes");
    return nullptr;
  }
  if (!is_free(queue)) {
    return nullptr;
  }
  const std::string_view first = view_of(head);
  const std::size_t used = queue.end + first.size();
  const std::size_t fitting = used < queue.size ? records.fitting(queue.size - used) : 0;
  if (fitting == 0) {
    return PyBytes_FromStringAndSize(nullptr, 0);
  }
  const std::size_t size = first.size() + fitting;
  PyObject* data = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size));
  if (data == nullptr) {
    return nullptr;
  }
  char* const out = PyBytes_AS_STRING(data);
  std::memcpy(out, first.data(), first.size());
  std::memcpy(out + first.size(), records.take(fitting).data(), fitting);
  queue.end += size;
  return data;
}

PyObject* queue_settle(PyObject* self, PyObject*) {
  records_of(self).settle();
  Py_RETURN_NONE;
}

PyObject* queue_enter(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count != 3) {
    PyErr_SetString(PyExc_TypeError, "enter takes a file, where its records end, and the edge");
    return nullptr;
  }
  PyObject* told = PyObject_GetAttr(args[0], file_names().size);
  if (told == nullptr) {
    return nullptr;
  }
  const std::size_t size = PyLong_AsSize_t(told);
  Py_DECREF(told);
  const std::size_t end = PyErr_Occurred() != nullptr ? 0 : PyLong_AsSize_t(args[1]);
  const std::size_t edge = PyErr_Occurred() != nullptr ? 0 : PyLong_AsSize_t(args[2]);
  if (PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  if (end > size || edge > size) {
    PyErr_Format(PyExc_ValueError, "a chunk of %zu bytes has neither its end at %zu nor its edge at %zu",
                 size, end, edge);
    return nullptr;
  }
  Queue& queue = queue_of(self);
  queue.size = size;
  queue.end = end;
  queue.edge = edge;
  Py_XSETREF(queue.file, Py_NewRef(args[0]));
  Py_RETURN_NONE;
}

/// A tuple of (sequence, kind, time_ns, payload).
PyObject* told(const JournalQueue::Entry& entry) {
  PyObject* payload = bytes_of(entry.payload);
  return payload == nullptr ? nullptr
                            : Py_BuildValue("(KHLN)", static_cast<unsigned long long>(entry.sequence),
                                            entry.kind, static_cast<long long>(entry.time_ns), payload);
}

PyObject* queue_entries(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  const std::uint64_t since = count == 0 ? 0 : PyLong_AsUnsignedLongLong(args[0]);
  if (PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  PyObject* list = PyList_New(0);
  const JournalQueue& records = records_of(self);
  for (std::size_t offset = 0; list != nullptr && offset < records.bytes();) {
    const JournalQueue::Entry entry = records.at(offset);
    offset += entry.size;
    if (entry.sequence < since) {
      continue;
    }
    PyObject* one = told(entry);
    const bool good = one != nullptr && PyList_Append(list, one) == 0;
    Py_XDECREF(one);
    if (!good) {
      Py_CLEAR(list);
    }
  }
  return list;
}

PyObject* queue_replace(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  std::uint16_t kind = 0;
  if (count != 2 || !PyDict_Check(args[1])) {
    PyErr_SetString(PyExc_TypeError, "replace takes a kind, and a dict of payloads by number");
    return nullptr;
  }
  if (!read_kind(args[0], kind)) {
    return nullptr;
  }
  try {
    std::vector<std::pair<std::uint64_t, std::string_view>> changes;
    PyObject *number = nullptr, *payload = nullptr;
    for (Py_ssize_t at = 0; PyDict_Next(args[1], &at, &number, &payload) != 0;) {
      const std::uint64_t sequence = PyLong_AsUnsignedLongLong(number);
      if (PyErr_Occurred() != nullptr) {
        return nullptr;
      }
      if (!PyBytes_Check(payload) || PyBytes_GET_SIZE(payload) > UINT32_MAX) {
        PyErr_SetString(PyExc_TypeError, "replace: a payload is not bytes that a record holds");
        return nullptr;
      }
      changes.emplace_back(sequence, view_of(payload));
    }
    std::sort(changes.begin(), changes.end());
    records_of(self).replace(kind, changes);
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  Py_RETURN_NONE;
}

PyObject* queue_clear_records(PyObject* self, PyObject*) {
  records_of(self).clear();
  Py_RETURN_NONE;
}

PyObject* queue_shut(PyObject* self, PyObject*) {
  queue_of(self).shut = true;
  Py_RETURN_NONE;
}

PyObject* get_first(PyObject* self, void*) {
  const JournalQueue& records = records_of(self);
  if (records.waiting() == 0) {
    Py_RETURN_NONE;
  }
  const JournalQueue::Entry entry = records.at(records.bytes_on_way());
  return Py_BuildValue("(KL)", static_cast<unsigned long long>(entry.sequence),
                       static_cast<long long>(entry.time_ns));
}

PyObject* get_sequence(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(records_of(self).sequence());
}

PyObject* get_durable(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(records_of(self).durable());
}

PyObject* get_hash(PyObject* self, void*) {
  const Hash16& hash = records_of(self).hash();
  return bytes_of({reinterpret_cast<const char*>(hash.data()), hash.size()});
}

PyObject* get_end(PyObject* self, void*) {
  return PyLong_FromSize_t(queue_of(self).end);
}

/// Whether what waits first has no room in the chunk.
bool is_blocked(PyObject* self) {
  const Queue& queue = queue_of(self);
  const JournalQueue& records = *queue.records;
  return records.waiting() != 0 && queue.end + records.at(records.bytes_on_way()).size > queue.size;
}

PyObject* get_blocked(PyObject* self, void*) {
  return PyBool_FromLong(is_blocked(self) ? 1 : 0);
}

PyObject* get_at_edge(PyObject* self, void*) {
  return PyBool_FromLong(queue_of(self).end >= queue_of(self).edge || is_blocked(self) ? 1 : 0);
}

PyCFunction method(PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef kMethods[] = {
    {"put", method(queue_put), METH_FASTCALL, nullptr},
    {"write", queue_write, METH_NOARGS, nullptr},
    {"take", queue_take, METH_O, nullptr},
    {"settle", queue_settle, METH_NOARGS, nullptr},
    {"enter", method(queue_enter), METH_FASTCALL, nullptr},
    {"entries", method(queue_entries), METH_FASTCALL, nullptr},
    {"replace", method(queue_replace), METH_FASTCALL, nullptr},
    {"clear", queue_clear_records, METH_NOARGS, nullptr},
    {"shut", queue_shut, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef kProperties[] = {
    {"first", get_first, nullptr, nullptr, nullptr},
    {"sequence", get_sequence, nullptr, nullptr, nullptr},
    {"durable", get_durable, nullptr, nullptr, nullptr},
    {"hash", get_hash, nullptr, nullptr, nullptr},
    {"end", get_end, nullptr, nullptr, nullptr},
    {"blocked", get_blocked, nullptr, nullptr, nullptr},
    {"at_edge", get_at_edge, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(queue_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(queue_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(queue_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(queue_clear)},
    {Py_sq_length, reinterpret_cast<void*>(queue_length)},
    {Py_tp_methods, kMethods},
    {Py_tp_getset, kProperties},
    {0, nullptr},
};

PyType_Spec kSpec = {"dragoman._core.JournalQueue", sizeof(Queue), 0,
                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE, kSlots};

}  // namespace

void bind_journal_queue(py::module_& m) {
  auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&kSpec));
  if (!type) {
    throw py::error_already_set();
  }
  m.attr("JournalQueue") = type;
}

#include <Python.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <new>

#include "bindings.hpp"

namespace py = pybind11;

/// Who is who: names of orders, and whose a handle is.
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

/// The wire id of a number, as dragoman.orders.identity describes it: 5 letters of the run, 5 of the number,
/// 2 of a check over both.
PyObject* made_id(const char* run, unsigned long long number) {
  PyObject* made = PyUnicode_New(kWhole, 127);
  if (made == nullptr) {
    return nullptr;
  }
  char* letters = static_cast<char*>(PyUnicode_DATA(made));
  for (Py_ssize_t i = 0; i < kRun; ++i) letters[i] = run[i];
  for (Py_ssize_t i = kRun; i < kHead; ++i) letters[i] = kAlphabet[number >> (5 * (kHead - 1 - i)) & 31];
  const std::uint32_t check = crc32(letters, kHead);
  letters[kHead] = kAlphabet[check >> 5 & 31];
  letters[kHead + 1] = kAlphabet[check & 31];
  return made;
}

/// The ids of a run, one after the other.
struct Mint {
  PyObject_HEAD std::array<char, kRun> run;
  unsigned long long last;
};

PyObject* mint_new(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject* run = nullptr;
  unsigned long long last = 0;
  if (!PyArg_ParseTuple(args, "U|K", &run, &last)) {
    return nullptr;
  }
  if (!PyUnicode_IS_COMPACT_ASCII(run) || PyUnicode_GET_LENGTH(run) != kRun) {
    PyErr_Format(PyExc_ValueError, "%R is no name of a run: expected 5 letters", run);
    return nullptr;
  }
  PyObject* self = type->tp_alloc(type, 0);
  if (self != nullptr) {
    auto& mint = *reinterpret_cast<Mint*>(self);
    std::memcpy(mint.run.data(), PyUnicode_DATA(run), mint.run.size());
    mint.last = last;
  }
  return self;
}

void plain_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* next_id(PyObject* self, PyObject*) {
  auto& mint = *reinterpret_cast<Mint*>(self);
  return made_id(mint.run.data(), ++mint.last);
}

/// Whose a handle is: one process, one thread, and a loop that runs. Who is another asks `closer`, which
/// decides.
struct Guard {
  PyObject_HEAD long process;
  unsigned long thread;
  PyObject* running;  // null before it is bound
  PyObject* closer;
};

/// The process that runs, which only a fork changes: asking for it each time would be a system call.
long process = 0;

void after_fork() {
  process = static_cast<long>(getpid());
}

Guard& guard_of(PyObject* self) {
  return *reinterpret_cast<Guard*>(self);
}

PyObject* guard_new(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject* closer = nullptr;
  if (!PyArg_ParseTuple(args, "O", &closer)) {
    return nullptr;
  }
  PyObject* self = type->tp_alloc(type, 0);
  if (self != nullptr) {
    guard_of(self).process = process;
    guard_of(self).closer = Py_NewRef(closer);
  }
  return self;
}

int guard_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(guard_of(self).running);
  Py_VISIT(guard_of(self).closer);
  return 0;
}

int guard_clear(PyObject* self) {
  Py_CLEAR(guard_of(self).running);
  Py_CLEAR(guard_of(self).closer);
  return 0;
}

void guard_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  guard_clear(self);
  plain_dealloc(self);
}

PyObject* guard_bind(PyObject* self, PyObject* running) {
  guard_of(self).thread = PyThread_get_thread_ident();
  Py_XSETREF(guard_of(self).running, Py_NewRef(running));
  Py_RETURN_NONE;
}

PyObject* guard_check(PyObject* self, PyObject* what) {
  const Guard& guard = guard_of(self);
  if (guard.process == process && guard.running != nullptr && guard.thread == PyThread_get_thread_ident()) {
    PyObject* runs = PyObject_CallNoArgs(guard.running);
    if (runs == nullptr || runs == Py_True) {
      Py_XDECREF(runs);
      return runs == nullptr ? nullptr : Py_NewRef(Py_None);
    }
    Py_DECREF(runs);
  }
  if (guard.closer == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "the handle was collected");
    return nullptr;
  }
  return PyObject_CallOneArg(guard.closer, what);
}

PyMethodDef kMintMethods[] = {
    {"wire_id", next_id, METH_NOARGS, "wire_id($self, /)\n--\n\nReturn the next wire id of the run."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot kMintSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(mint_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(plain_dealloc)},
    {Py_tp_methods, kMintMethods},
    {0, nullptr},
};

PyType_Spec kMintSpec = {"dragoman._core.IdMint", sizeof(Mint), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, kMintSlots};

PyMethodDef kGuardMethods[] = {
    {"bind", guard_bind, METH_O,
     "bind($self, running, /)\n--\n\nBelong to this thread from now on, while `running` says True."},
    {"check", guard_check, METH_O,
     "check($self, what, /)\n--\n\nReturn where all is as it should be; else ask who looks closer."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot kGuardSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(guard_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(guard_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(guard_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(guard_clear)},
    {Py_tp_methods, kGuardMethods},
    {0, nullptr},
};

PyType_Spec kGuardSpec = {"dragoman._core.Guard", sizeof(Guard), 0,
                          Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC, kGuardSlots};

void add_type(py::module_& m, const char* name, PyType_Spec& spec) {
  auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
  if (!type) {
    throw py::error_already_set();
  }
  m.attr(name) = type;
}

}  // namespace

void bind_identity(py::module_& m) {
  after_fork();
  if (pthread_atfork(nullptr, nullptr, after_fork) != 0) {
    throw std::bad_alloc();
  }
  add_type(m, "IdMint", kMintSpec);
  add_type(m, "Guard", kGuardSpec);
}

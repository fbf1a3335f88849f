#include <charconv>
#include <cstddef>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "bindings.hpp"
#include "py_values.hpp"

namespace py = pybind11;

/// Values of one dataclass as JSON text: an object of the fields that differ from their defaults.
///
/// Which fields, and what makes each plain, is told once by dragoman.orders.journal.codec. Plain text,
/// numbers, truths, and what becomes one of them are written here; all else goes through `dump`, so that
/// the text is the one `dump` would make of the whole.
///
/// Everything here runs under the GIL.
namespace {

enum class As : long { kItself, kText, kMember, kConverted };

struct Part {
  Py_ssize_t offset = 0;
  std::string key;  // with its quotes and colon
  As as = As::kItself;
  PyObject* fallback = nullptr;  // held; the default, null where the field is always written
  PyObject* convert = nullptr;   // held
};

struct Writer {
  PyObject_HEAD PyTypeObject* kind;  // borrowed: its layout is kept
  std::vector<Part> parts;
  PyObject* dump;    // held
  PyObject* inside;  // held: the name of a member's value
};

Writer& writer_of(PyObject* self) {
  return *reinterpret_cast<Writer*>(self);
}

bool append_dumped(PyObject* dump, PyObject* held, std::string& out) {
  PyObject* text = PyObject_CallOneArg(dump, held);
  if (text == nullptr) {
    return false;
  }
  char* data = nullptr;
  Py_ssize_t size = 0;
  const bool good = PyBytes_AsStringAndSize(text, &data, &size) == 0;
  if (good) {
    out.append(data, static_cast<std::size_t>(size));
  }
  Py_DECREF(text);
  return good;
}

/// Whether text stands in JSON as it is.
bool is_plain(std::string_view text) {
  for (const char c : text) {
    if (c < ' ' || c == '"' || c == '\\') {
      return false;
    }
  }
  return true;
}

/// Append a value that JSON has as it is, or what `dump` makes of it.
bool append(PyObject* dump, PyObject* held, std::string& out) {
  if (PyUnicode_CheckExact(held) && PyUnicode_IS_COMPACT_ASCII(held)) {
    const std::string_view text(reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(held)),
                                static_cast<std::size_t>(PyUnicode_GET_LENGTH(held)));
    if (is_plain(text)) {
      out += '"';
      out += text;
      out += '"';
      return true;
    }
  } else if (PyLong_CheckExact(held)) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(held, &overflow);
    if (overflow == 0) {
      char digits[24];
      const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
      out.append(digits, static_cast<std::size_t>(end - digits));
      return true;
    }
  } else if (held == Py_True) {
    out += "true";
    return true;
  } else if (held == Py_False) {
    out += "false";
    return true;
  } else if (held == Py_None) {
    out += "null";
    return true;
  }
  return append_dumped(dump, held, out);
}

/// Append what is made of `held`; takes over `made`, null where making it failed.
bool append_made(const Writer& writer, PyObject* made, std::string& out) {
  if (made == nullptr) {
    return false;
  }
  const bool good = append(writer.dump, made, out);
  Py_DECREF(made);
  return good;
}

bool append_part(const Writer& writer, const Part& part, PyObject* held, std::string& out) {
  if (held == Py_None) {
    return append(writer.dump, held, out);
  }
  switch (part.as) {
    case As::kText:
      return append_made(writer, PyObject_Str(held), out);
    case As::kMember:
      return append_made(writer, PyObject_GetAttr(held, writer.inside), out);
    case As::kConverted:
      return append_made(writer, PyObject_CallOneArg(part.convert, held), out);
    case As::kItself:
      break;
  }
  return append(writer.dump, held, out);
}

/// Whether a field holds its default; 1 yes, 0 no, -1 an exception.
int is_default(const Part& part, PyObject* held) {
  if (part.fallback == nullptr) {
    return 0;
  }
  if (held == part.fallback) {
    return 1;
  }
  // Nothing that is written here equals None, and no two members of one enumeration are equal.
  if (part.as != As::kConverted && (part.fallback == Py_None || held == Py_None)) {
    return 0;
  }
  if (part.as == As::kMember && Py_TYPE(held) == Py_TYPE(part.fallback)) {
    return 0;
  }
  return PyObject_RichCompareBool(held, part.fallback, Py_EQ);
}

/// Append the object; false with an exception set.
bool append_fields(const Writer& writer, PyObject* value, std::string& out) {
  char before = '{';
  for (const Part& part : writer.parts) {
    PyObject* held = *slot_at(value, part.offset);
    if (held == nullptr) {
      PyErr_Format(PyExc_AttributeError, "a %s has no %.*s", writer.kind->tp_name,
                   static_cast<int>(part.key.size() - 3), part.key.c_str() + 1);
      return false;
    }
    Py_INCREF(held);
    const int same = is_default(part, held);
    bool good = same >= 0;
    if (same == 0) {
      out += before;
      before = ',';
      out += part.key;
      good = append_part(writer, part, held, out);
    }
    Py_DECREF(held);
    if (!good) {
      return false;
    }
  }
  if (before == '{') {
    out += '{';
  }
  out += '}';
  return true;
}

/// Append names and values in turn, each name followed by a colon, and a last name that stands alone.
bool append_pairs(PyObject* dump, PyObject* const* pairs, Py_ssize_t count, std::string& out) {
  for (Py_ssize_t i = 0; i < count; ++i) {
    if (i % 2 == 0) {
      out += i == 0 ? '{' : ',';
    }
    if (!append(dump, pairs[i], out)) {
      return false;
    }
    if (i % 2 == 0) {
      out += ':';
    }
  }
  return true;
}

PyObject* object_written(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count < 3 || count % 2 == 0) {
    PyErr_SetString(PyExc_TypeError, "plain_object takes what dumps, then names and values in turn");
    return nullptr;
  }
  std::string out;
  try {
    out.reserve(256);
    if (!append_pairs(args[0], args + 1, count - 1, out)) {
      return nullptr;
    }
    out += '}';
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  return PyBytes_FromStringAndSize(out.data(), static_cast<Py_ssize_t>(out.size()));
}

PyObject* written(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  const Writer& writer = writer_of(self);
  if (count != 1 && count % 2 != 0) {
    PyErr_SetString(PyExc_TypeError, "write takes a value, then names and values in turn, and its own name");
    return nullptr;
  }
  PyObject* value = args[0];
  if (Py_TYPE(value) != writer.kind) {
    PyErr_Format(PyExc_TypeError, "found a %s, expected a %s", Py_TYPE(value)->tp_name, writer.kind->tp_name);
    return nullptr;
  }
  std::string out;
  try {
    out.reserve(512);
    if (!append_pairs(writer.dump, args + 1, count - 1, out) || !append_fields(writer, value, out)) {
      return nullptr;
    }
    if (count > 1) {
      out += '}';
    }
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  return PyBytes_FromStringAndSize(out.data(), static_cast<Py_ssize_t>(out.size()));
}

/// Read one part: (name, whether it has a default, the default, how it is written, what converts it).
bool read_part(PyTypeObject* kind, PyObject* told, std::vector<Part>& parts) {
  PyObject* name = nullptr;
  PyObject* fallback = nullptr;
  PyObject* convert = nullptr;
  int has_default = 0;
  long as = 0;
  if (!PyArg_ParseTuple(told, "UpOlO", &name, &has_default, &fallback, &as, &convert)) {
    return false;
  }
  if (as < 0 || as > static_cast<long>(As::kConverted)) {
    PyErr_Format(PyExc_ValueError, "%U is written as %ld, expected 0 to 3", name, as);
    return false;
  }
  const char* text = PyUnicode_AsUTF8(name);
  if (text == nullptr) {
    return false;
  }
  Part part;
  part.offset = offset_of(kind, known_layout(kind), name);
  if (part.offset < 0) {
    return false;
  }
  part.key = std::string("\"") + text + "\":";
  part.as = static_cast<As>(as);
  parts.push_back(part);
  parts.back().fallback = has_default != 0 ? Py_NewRef(fallback) : nullptr;
  parts.back().convert = Py_NewRef(convert);
  return true;
}

void let_go(std::vector<Part>& parts) {
  for (Part& part : parts) {
    Py_XDECREF(part.fallback);
    Py_XDECREF(part.convert);
  }
  parts.clear();
}

bool read_parts(PyTypeObject* kind, PyObject* told, std::vector<Part>& parts) {
  try {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(told); ++i) {
      if (!read_part(kind, PyTuple_GET_ITEM(told, i), parts)) {
        return false;
      }
    }
  } catch (py::error_already_set& error) {
    error.restore();
    return false;
  } catch (const py::builtin_exception& error) {
    error.set_error();
    return false;
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
    return false;
  }
  return true;
}

PyObject* writer_new(PyTypeObject* type, PyObject* args, PyObject*) {
  PyTypeObject* kind = nullptr;
  PyObject* told = nullptr;
  PyObject* dump = nullptr;
  if (!PyArg_ParseTuple(args, "O!O!O", &PyType_Type, &kind, &PyTuple_Type, &told, &dump)) {
    return nullptr;
  }
  std::vector<Part> parts;
  PyObject* inside = PyUnicode_InternFromString("_value_");
  PyObject* self = inside == nullptr || !read_parts(kind, told, parts) ? nullptr : type->tp_alloc(type, 0);
  if (self == nullptr) {
    Py_XDECREF(inside);
    let_go(parts);
    return nullptr;
  }
  Writer& writer = writer_of(self);
  writer.kind = kind;
  new (&writer.parts) std::vector<Part>(std::move(parts));
  writer.dump = Py_NewRef(dump);
  writer.inside = inside;
  return self;
}

void writer_dealloc(PyObject* self) {
  Writer& writer = writer_of(self);
  let_go(writer.parts);
  writer.parts.~vector();
  Py_DECREF(writer.dump);
  Py_DECREF(writer.inside);
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

/// The writers of all classes, each made by `make` when the first value of its class comes.
struct Writers {
  PyObject_HEAD PyObject* make;  // held
  PyObject* made;                // held; class -> writer
};

PyTypeObject* writer_type = nullptr;

Writers& writers_of(PyObject* self) {
  return *reinterpret_cast<Writers*>(self);
}

/// The writer of a class, borrowed; null with an exception.
PyObject* writer_for(const Writers& writers, PyTypeObject* kind) {
  auto* const key = reinterpret_cast<PyObject*>(kind);
  PyObject* const known = PyDict_GetItemWithError(writers.made, key);
  if (known != nullptr || PyErr_Occurred() != nullptr) {
    return known;
  }
  if (writers.make == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "PlainWriters: what makes them was collected");
    return nullptr;
  }
  PyObject* const writer = PyObject_CallOneArg(writers.make, key);
  if (writer == nullptr) {
    return nullptr;
  }
  if (Py_TYPE(writer) != writer_type) {
    PyErr_Format(PyExc_TypeError, "found a %s, expected a PlainWriter", Py_TYPE(writer)->tp_name);
  } else {
    PyDict_SetItem(writers.made, key, writer);
  }
  Py_DECREF(writer);
  return PyErr_Occurred() != nullptr ? nullptr : PyDict_GetItemWithError(writers.made, key);
}

PyObject* written_by_class(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count == 0) {
    PyErr_SetString(PyExc_TypeError, "write takes a value, then names and values in turn, and its own name");
    return nullptr;
  }
  PyObject* writer = writer_for(writers_of(self), Py_TYPE(args[0]));
  if (writer == nullptr) {
    return nullptr;
  }
  Py_INCREF(writer);
  PyObject* const text = written(writer, args, count);
  Py_DECREF(writer);
  return text;
}

PyObject* writers_new(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject* make = nullptr;
  if (!PyArg_ParseTuple(args, "O:PlainWriters", &make)) {
    return nullptr;
  }
  PyObject* made = PyDict_New();
  PyObject* self = made == nullptr ? nullptr : type->tp_alloc(type, 0);
  if (self == nullptr) {
    Py_XDECREF(made);
    return nullptr;
  }
  writers_of(self).make = Py_NewRef(make);
  writers_of(self).made = made;
  return self;
}

int writers_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(writers_of(self).make);
  Py_VISIT(writers_of(self).made);
  return 0;
}

int writers_clear(PyObject* self) {
  Py_CLEAR(writers_of(self).make);
  PyDict_Clear(writers_of(self).made);  // and kept, so that a call is safe to the last
  return 0;
}

void writers_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  writers_clear(self);
  Py_CLEAR(writers_of(self).made);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef kWriterMethods[] = {
    {"write", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(written)), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMethodDef kWritersMethods[] = {
    {"write", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(written_by_class)), METH_FASTCALL,
     nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMethodDef kMethods[] = {
    {"plain_object", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(object_written)),
     METH_FASTCALL,
     "plain_object(dump, /, *pairs)\n--\n\nReturn names and values, given in turn, as a JSON object."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot kWriterSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(writer_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(writer_dealloc)},
    {Py_tp_methods, kWriterMethods},
    {0, nullptr},
};

PyType_Spec kWriterSpec = {"dragoman._core.PlainWriter", sizeof(Writer), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, kWriterSlots};

PyType_Slot kWritersSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(writers_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(writers_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(writers_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(writers_clear)},
    {Py_tp_methods, kWritersMethods},
    {0, nullptr},
};

PyType_Spec kWritersSpec = {"dragoman._core.PlainWriters", sizeof(Writers), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
                            kWritersSlots};

}  // namespace

void bind_plain(py::module_& m) {
  auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&kWriterSpec));
  auto types = py::reinterpret_steal<py::object>(type ? PyType_FromSpec(&kWritersSpec) : nullptr);
  if (!types) {
    throw py::error_already_set();
  }
  writer_type = reinterpret_cast<PyTypeObject*>(type.ptr());
  m.attr("PlainWriter") = type;
  m.attr("PlainWriters") = types;
  if (PyModule_AddFunctions(m.ptr(), kMethods) != 0) {
    throw py::error_already_set();
  }
}

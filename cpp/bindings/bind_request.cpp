#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "bindings.hpp"
#include "py_number.hpp"
#include "py_values.hpp"

namespace py = pybind11;

/// The request of an order that says nothing but the usual, of the user's words, in one call.
///
/// What a set of words means is asked in Python once for each set of objects: words in a program are
/// constants, so the objects are the same from order to order. None is returned wherever Python has to look
/// closer.
///
/// Everything here runs under the GIL.
namespace {

enum Argument : std::size_t {
  kInstrument,
  kSide,
  kQuantity,
  kOrderType,
  kPrice,
  kTimeInForce,
  kProduct,
  kVariety,
  kMore,
  kArguments,
};
// Floats within are of a size that markets know; what is beyond is for `exact` to judge.
constexpr double kLeast = 1e-15;
constexpr double kMost = 1e15;
constexpr long long kMostWhole = 1'000'000'000;

constexpr std::array<Argument, 5> kWords = {kSide, kOrderType, kTimeInForce, kProduct, kVariety};

/// Words, and the request that says them; all held, so that an address means nothing else meanwhile.
struct Meaning {
  std::array<PyObject*, kWords.size()> words;
  PyObject* request;
};

/// An int and its Decimal, which is held; null where there is none yet.
struct Whole {
  long long value;
  PyObject* number;
};

struct RequestReader {
  PyObject_HEAD PyTypeObject* request;  // borrowed, as the next: their layouts are kept
  PyTypeObject* instrument;
  PyObject* meaning;  // held, as the following
  PyObject* exact;
  PyObject* refusals;  // the exceptions after which Python looks closer
  PyObject* decimal;
  PyObject* is_finite;
  PyObject* quantity_name;
  PyObject* price_name;
  const SlotLayout* layout;
  Py_ssize_t name_there;  // of an instrument's id
  Py_ssize_t name, quantity, price, extras;
  std::array<Meaning, 64> known;
  std::array<Whole, 64> wholes;
};

RequestReader& reader_of(PyObject* self) {
  return *reinterpret_cast<RequestReader*>(self);
}

/// A new reference to the request that says these words and nothing more; null with the error set.
PyObject* meant(RequestReader& reader, PyObject* const* args) {
  std::array<PyObject*, kWords.size()> words{};
  std::uintptr_t mixed = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    words[i] = args[kWords[i]];
    mixed = mixed * 31 + (reinterpret_cast<std::uintptr_t>(words[i]) >> 4);
  }
  Meaning& place = reader.known[(mixed ^ (mixed >> 6)) % reader.known.size()];
  if (place.request != nullptr && place.words == words) {
    return Py_NewRef(place.request);
  }
  PyObject* const found = PyObject_Vectorcall(reader.meaning, words.data(), words.size(), nullptr);
  if (found == nullptr) {
    return nullptr;
  }
  if (Py_TYPE(found) != reader.request) {
    PyErr_Format(PyExc_SystemError, "found a %s, expected a %s", Py_TYPE(found)->tp_name,
                 reader.request->tp_name);
    Py_DECREF(found);
    return nullptr;
  }
  Meaning gone{words, Py_NewRef(found)};
  for (PyObject* word : words) Py_INCREF(word);
  std::swap(place, gone);
  for (PyObject* word : gone.words) Py_XDECREF(word);
  Py_XDECREF(gone.request);
  return found;
}

/// Take over a Decimal: itself where it is finite, else null without an error.
PyObject* if_finite(const RequestReader& reader, PyObject* number) {
  if (number == nullptr) {
    return nullptr;
  }
  PyObject* const is = PyObject_CallMethodNoArgs(number, reader.is_finite);
  if (is != Py_True) {
    Py_CLEAR(number);
  }
  Py_XDECREF(is);
  return number;
}

/// The Decimal of text; what it is is noted where that is plain, then it is finite, too.
PyObject* of_text(const RequestReader& reader, PyObject* text) {
  PyObject* const number = PyObject_CallOneArg(reader.decimal, text);
  PlainNumber plain;
  if (number == nullptr || !PyUnicode_IS_COMPACT_ASCII(text) ||
      !read_plain({static_cast<const char*>(PyUnicode_DATA(text)),
                   static_cast<std::size_t>(PyUnicode_GET_LENGTH(text))},
                  plain)) {
    return if_finite(reader, number);
  }
  note_plain(number, plain);
  return number;
}

/// The Decimal of an int; those of common size are kept.
PyObject* of_whole(RequestReader& reader, PyObject* value) {
  int overflow = 0;
  const long long whole = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (overflow != 0 || whole < 0 || whole > kMostWhole) {
    return if_finite(reader, PyObject_CallOneArg(reader.decimal, value));
  }
  Whole& place = reader.wholes[static_cast<std::size_t>(whole) % reader.wholes.size()];
  if (place.number == nullptr || place.value != whole) {
    PyObject* const number = PyObject_CallOneArg(reader.decimal, value);
    if (number == nullptr) {
      return nullptr;
    }
    place.value = whole;
    Py_XSETREF(place.number, number);
    note_plain(number, {whole, 0});
  }
  return Py_NewRef(place.number);
}

/// A new reference to a number as the Decimal that it is. Null without an error where Python has to look
/// closer, null with one where it was refused.
PyObject* number_of(RequestReader& reader, PyObject* name, PyObject* value) {
  if (PyLong_CheckExact(value)) {
    return of_whole(reader, value);
  }
  if (PyUnicode_CheckExact(value)) {
    return of_text(reader, value);
  }
  if (Py_TYPE(value) == reinterpret_cast<PyTypeObject*>(reader.decimal)) {
    return if_finite(reader, Py_NewRef(value));
  }
  if (PyFloat_CheckExact(value)) {
    const double size = std::fabs(PyFloat_AS_DOUBLE(value));
    if (size == 0 || (size > kLeast && size < kMost)) {
      PyObject* const shortest = PyObject_Repr(value);
      PyObject* const number = shortest == nullptr ? nullptr : of_text(reader, shortest);
      Py_XDECREF(shortest);
      return number;
    }
  }
  PyObject* const both[] = {name, value};
  return PyObject_Vectorcall(reader.exact, both, 2, nullptr);
}

/// Take over what is held and put it in a field of a new value.
void set(PyObject* value, Py_ssize_t offset, PyObject* held) {
  PyObject** const slot = slot_at(value, offset);
  PyObject* const old = *slot;
  *slot = held;
  Py_XDECREF(old);
}

/// A request as `plain` but for what is given, which it takes over.
PyObject* request_of(const RequestReader& reader, PyObject* plain, PyObject* name, PyObject* quantity,
                     PyObject* price) {
  PyObject* const extras = PyDict_New();
  PyObject* const request = extras == nullptr ? nullptr : reader.request->tp_alloc(reader.request, 0);
  if (request == nullptr) {
    Py_XDECREF(extras);
    Py_DECREF(name);
    Py_DECREF(quantity);
    Py_DECREF(price);
    return nullptr;
  }
  for (const Py_ssize_t offset : reader.layout->offsets) {
    *slot_at(request, offset) = Py_XNewRef(*slot_at(plain, offset));
  }
  set(request, reader.name, name);
  set(request, reader.quantity, quantity);
  set(request, reader.price, price);
  set(request, reader.extras, extras);
  return request;
}

/// None where Python has to look closer, null where what was raised is none of the refusals.
PyObject* none_or_raised(const RequestReader& reader) {
  if (PyErr_Occurred() != nullptr) {
    if (PyErr_ExceptionMatches(reader.refusals) == 0) {
      return nullptr;
    }
    PyErr_Clear();
  }
  Py_RETURN_NONE;
}

PyObject* reader_read(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count != kArguments) {
    return PyErr_Format(PyExc_TypeError, "read takes %d arguments, found %zd", static_cast<int>(kArguments),
                        count);
  }
  RequestReader& reader = reader_of(self);
  if (args[kQuantity] == Py_None || !PyDict_CheckExact(args[kMore]) || PyDict_GET_SIZE(args[kMore]) != 0 ||
      Py_TYPE(args[kInstrument]) != reader.instrument) {
    Py_RETURN_NONE;
  }
  PyObject* const plain = meant(reader, args);
  PyObject* const quantity =
      plain == nullptr ? nullptr : number_of(reader, reader.quantity_name, args[kQuantity]);
  PyObject* const price = quantity == nullptr       ? nullptr
                          : args[kPrice] == Py_None ? Py_NewRef(Py_None)
                                                    : number_of(reader, reader.price_name, args[kPrice]);
  PyObject* found = nullptr;
  if (price == nullptr) {
    Py_XDECREF(quantity);
    found = none_or_raised(reader);
  } else {
    PyObject* const name = Py_NewRef(*slot_at(args[kInstrument], reader.name_there));
    found = request_of(reader, plain, name, quantity, price);
  }
  Py_XDECREF(plain);
  return found;
}

/// Read where the fields lie; throws what pybind11 throws.
void read_fields(RequestReader& reader) {
  const auto offset = [](PyTypeObject* type, const char* name) {
    const Py_ssize_t found = offset_of(type, known_layout(type), py::str(name).ptr());
    if (found < 0) throw py::error_already_set();
    return found;
  };
  reader.layout = &known_layout(reader.request);
  reader.name_there = offset(reader.instrument, "instrument_id");
  reader.name = offset(reader.request, "instrument_id");
  reader.quantity = offset(reader.request, "quantity");
  reader.price = offset(reader.request, "price");
  reader.extras = offset(reader.request, "extras");
  reader.decimal = py::object(py::module_::import("decimal").attr("Decimal")).release().ptr();
  reader.is_finite = py::str("is_finite").release().ptr();
  reader.quantity_name = py::str("quantity").release().ptr();
  reader.price_name = py::str("price").release().ptr();
}

PyObject* reader_new(PyTypeObject* type, PyObject* args, PyObject*) {
  PyTypeObject *request = nullptr, *instrument = nullptr;
  PyObject *meaning = nullptr, *exact = nullptr, *refusals = nullptr;
  if (!PyArg_ParseTuple(args, "O!O!OOO!:RequestReader", &PyType_Type, &request, &PyType_Type, &instrument,
                        &meaning, &exact, &PyTuple_Type, &refusals)) {
    return nullptr;
  }
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) {
    return nullptr;
  }
  RequestReader& reader = reader_of(self);
  reader.request = request;
  reader.instrument = instrument;
  reader.meaning = Py_NewRef(meaning);
  reader.exact = Py_NewRef(exact);
  reader.refusals = Py_NewRef(refusals);
  try {
    read_fields(reader);
  } catch (py::error_already_set& error) {
    error.restore();
    Py_DECREF(self);
    return nullptr;
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_TypeError, error.what());
    Py_DECREF(self);
    return nullptr;
  }
  return self;
}

void reader_dealloc(PyObject* self) {
  RequestReader& reader = reader_of(self);
  Py_XDECREF(reader.meaning);
  Py_XDECREF(reader.exact);
  Py_XDECREF(reader.refusals);
  Py_XDECREF(reader.decimal);
  Py_XDECREF(reader.is_finite);
  Py_XDECREF(reader.quantity_name);
  Py_XDECREF(reader.price_name);
  for (const Meaning& one : reader.known) {
    for (PyObject* word : one.words) Py_XDECREF(word);
    Py_XDECREF(one.request);
  }
  for (const Whole& one : reader.wholes) Py_XDECREF(one.number);
  PyTypeObject* const type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef kMethods[] = {
    {"read", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(reader_read)), METH_FASTCALL,
     nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(reader_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(reader_dealloc)},
    {Py_tp_methods, kMethods},
    {0, nullptr},
};

PyType_Spec kSpec = {"dragoman._core.RequestReader", sizeof(RequestReader), 0,
                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, kSlots};

}  // namespace

void bind_request(py::module_& m) {
  auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&kSpec));
  if (!type) {
    throw py::error_already_set();
  }
  m.attr("RequestReader") = type;
}

#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "dragoman/decoder.hpp"
#include "dragoman/instruments.hpp"
#include "py_batch.hpp"
#include "py_cursor.hpp"
#include "py_decoder.hpp"
#include "py_layout.hpp"
#include "py_record.hpp"
#include "py_tick.hpp"

namespace py = pybind11;

namespace {

using dragoman::FrameDecoder;

struct State {
  State(std::unique_ptr<FrameDecoder> made, std::size_t most)
      : decoder(std::move(made)), max_blocks(most), alive(std::make_shared<std::int64_t>(0)) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    for (PyObject* const batch : pool) {
      Py_DECREF(batch);
    }
  }

  std::unique_ptr<FrameDecoder> decoder;
  std::vector<PyObject*> pool;  // batches that are filled again when nobody else holds them
  std::size_t max_blocks;
  std::size_t current = 0;
  std::shared_ptr<std::int64_t> alive;
};

struct PyDecoder {
  PyObject_HEAD State* state;
};

PyTypeObject* decoder_type = nullptr;

State& state_of(PyObject* self) {
  return *reinterpret_cast<PyDecoder*>(self)->state;
}

PyObject* decoder_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"layout", "max_blocks", nullptr};
  PyObject* given = nullptr;
  Py_ssize_t max_blocks = 8;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|$n:Decoder", const_cast<char**>(names), &given,
                                   &max_blocks)) {
    return nullptr;
  }
  if (!py::isinstance<PyLayout>(given)) {
    return PyErr_Format(PyExc_TypeError, "Decoder: layout is a %s, expected a dragoman._core.Layout",
                        Py_TYPE(given)->tp_name);
  }
  if (max_blocks < 1 || max_blocks > 1024) {
    return PyErr_Format(PyExc_ValueError, "Decoder: max_blocks is %zd, expected 1 to 1024", max_blocks);
  }
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) {
    return nullptr;
  }
  try {
    std::unique_ptr<FrameDecoder> made = py::handle(given).cast<const PyLayout&>().make_decoder();
    reinterpret_cast<PyDecoder*>(self)->state =
        new State(std::move(made), static_cast<std::size_t>(max_blocks));
  } catch (const std::bad_alloc&) {
    Py_DECREF(self);
    return PyErr_NoMemory();
  }
  return self;
}

void decoder_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  delete reinterpret_cast<PyDecoder*>(self)->state;
  PyObject_Free(self);
  Py_DECREF(type);
}

/// A batch that nobody else holds: the last one, another of the pool, or a new one. Borrowed from the pool.
PyObject* take_batch(State& state) {
  if (!state.pool.empty() && Py_REFCNT(state.pool[state.current]) == 1) [[likely]] {
    return state.pool[state.current];
  }
  for (std::size_t i = 0; i < state.pool.size(); ++i) {
    if (Py_REFCNT(state.pool[i]) == 1) {
      state.current = i;
      return state.pool[i];
    }
  }
  PyObject* const batch = make_batch(state.alive);
  if (batch == nullptr) {
    return nullptr;
  }
  if (state.pool.size() < state.max_blocks) {
    state.current = state.pool.size();
    state.pool.push_back(batch);
  } else {
    // All are held: let one go to its holder, who now owns it alone, and keep the new one instead.
    state.current = (state.current + 1) % state.pool.size();
    Py_SETREF(state.pool[state.current], batch);
  }
  return batch;
}

bool read_int64(PyObject* given, const char* name, std::int64_t& value) {
  const long long read = PyLong_AsLongLong(given);
  if (read == -1 && PyErr_Occurred() != nullptr) {
    if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
      PyErr_Format(PyExc_ValueError, "Decoder: %s is %R, expected an int of 64 bits", name, given);
    }
    return false;
  }
  value = read;
  return true;
}

bool check_arguments(const char* name, Py_ssize_t count, Py_ssize_t least, Py_ssize_t most) {
  if (count >= least && count <= most) {
    return true;
  }
  PyErr_Format(PyExc_TypeError, "Decoder.%s takes %zd to %zd positional arguments, found %zd", name, least,
               most, count);
  return false;
}

PyObject* decoder_decode(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  std::int64_t ts_recv = 0;
  if (!check_arguments("decode", count, 1, 2) || (count == 2 && !read_int64(args[1], "ts_recv", ts_recv))) {
    return nullptr;
  }
  PyObject* const frame = args[0];
  if (PyBytes_CheckExact(frame)) [[likely]] {
    return decode_frame(self, reinterpret_cast<const std::uint8_t*>(PyBytes_AS_STRING(frame)),
                        static_cast<std::size_t>(PyBytes_GET_SIZE(frame)), ts_recv);
  }
  Py_buffer buffer;
  if (PyObject_GetBuffer(frame, &buffer, PyBUF_SIMPLE) < 0) {
    return nullptr;
  }
  PyObject* const batch = decode_frame(self, static_cast<const std::uint8_t*>(buffer.buf),
                                       static_cast<std::size_t>(buffer.len), ts_recv);
  PyBuffer_Release(&buffer);
  return batch;
}

bool read_instrument(PyObject* given, std::int32_t& instrument) {
  std::int64_t handle = 0;
  if (!read_int64(given, "instrument", handle)) {
    return false;
  }
  if (handle < 0 || handle >= dragoman::instrument_count()) {
    PyErr_Format(PyExc_ValueError, "Decoder: no instrument has handle %lld; make one with intern_instrument",
                 static_cast<long long>(handle));
    return false;
  }
  instrument = static_cast<std::int32_t>(handle);
  return true;
}

PyObject* decoder_bind(PyObject* self, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"key", "instrument", nullptr};
  PyObject* given_key = nullptr;
  PyObject* given = nullptr;
  std::int64_t key = 0;
  std::int32_t instrument = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO:bind", const_cast<char**>(names), &given_key,
                                   &given) ||
      !read_int64(given_key, "key", key) || !read_instrument(given, instrument)) {
    return nullptr;
  }
  try {
    state_of(self).decoder->bind(key, instrument);
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  Py_RETURN_NONE;
}

PyObject* decoder_bind_text(PyObject* self, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"text", "instrument", nullptr};
  const char* text = nullptr;
  Py_ssize_t size = 0;
  PyObject* given = nullptr;
  std::int32_t instrument = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "y#O:bind_text", const_cast<char**>(names), &text, &size,
                                   &given) ||
      !read_instrument(given, instrument)) {
    return nullptr;
  }
  try {
    state_of(self).decoder->bind_text({text, static_cast<std::size_t>(size)}, instrument);
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  Py_RETURN_NONE;
}

PyObject* decoder_unbind(PyObject* self, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"key", nullptr};
  PyObject* given = nullptr;
  std::int64_t key = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "O:unbind", const_cast<char**>(names), &given) ||
      !read_int64(given, "key", key)) {
    return nullptr;
  }
  state_of(self).decoder->unbind(key);
  Py_RETURN_NONE;
}

PyObject* decoder_unbind_text(PyObject* self, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"text", nullptr};
  const char* text = nullptr;
  Py_ssize_t size = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "y#:unbind_text", const_cast<char**>(names), &text,
                                   &size)) {
    return nullptr;
  }
  try {
    state_of(self).decoder->unbind_text({text, static_cast<std::size_t>(size)});
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  Py_RETURN_NONE;
}

PyObject* get_count(PyObject* self, void*) {
  return PyLong_FromLongLong(state_of(self).decoder->count());
}

PyObject* get_counters(PyObject* self, void*) {
  const State& state = state_of(self);
  const dragoman::Counters& c = state.decoder->counters();
  std::int64_t held = *state.alive;
  for (PyObject* const batch : state.pool) {
    held -= Py_REFCNT(batch) == 1;
  }
  const std::pair<const char*, std::uint64_t> all[] = {{"frames", c.frames},
                                                       {"packets", c.packets},
                                                       {"records", c.records},
                                                       {"unknown_packets", c.unknown_packets},
                                                       {"truncated", c.truncated},
                                                       {"malformed", c.malformed},
                                                       {"unbound", c.unbound},
                                                       {"undefined_topics", c.undefined_topics},
                                                       {"rejected_values", c.rejected_values},
                                                       {"control", c.control},
                                                       {"table_full", c.table_full},
                                                       {"blocks_held", static_cast<std::uint64_t>(held)}};
  PyObject* const dict = PyDict_New();
  if (dict == nullptr) {
    return nullptr;
  }
  for (const auto& [name, number] : all) {
    PyObject* const value = PyLong_FromUnsignedLongLong(number);
    const bool stored = value != nullptr && PyDict_SetItemString(dict, name, value) == 0;
    Py_XDECREF(value);
    if (!stored) {
      Py_DECREF(dict);
      return nullptr;
    }
  }
  return dict;
}

bool add_decoder_type(PyObject* module) {
  using record_attributes::as_method;
  static PyMethodDef methods[] = {
      {"decode", as_method(decoder_decode), METH_FASTCALL, nullptr},
      {"bind", as_method(decoder_bind), METH_VARARGS | METH_KEYWORDS, nullptr},
      {"bind_text", as_method(decoder_bind_text), METH_VARARGS | METH_KEYWORDS, nullptr},
      {"unbind", as_method(decoder_unbind), METH_VARARGS | METH_KEYWORDS, nullptr},
      {"unbind_text", as_method(decoder_unbind_text), METH_VARARGS | METH_KEYWORDS, nullptr},
      {nullptr, nullptr, 0, nullptr}};
  static PyGetSetDef getters[] = {{"count", get_count, nullptr, nullptr, nullptr},
                                  {"counters", get_counters, nullptr, nullptr, nullptr},
                                  {nullptr, nullptr, nullptr, nullptr, nullptr}};
  PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(decoder_new)},
                         {Py_tp_dealloc, reinterpret_cast<void*>(decoder_dealloc)},
                         {Py_tp_methods, methods},
                         {Py_tp_getset, getters},
                         {0, nullptr}};
  PyType_Spec spec = {"dragoman._core.Decoder", sizeof(PyDecoder), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, slots};
  decoder_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return decoder_type != nullptr &&
         PyModule_AddObjectRef(module, "Decoder", reinterpret_cast<PyObject*>(decoder_type)) == 0;
}

py::list dtype_of(std::initializer_list<std::pair<const char*, const char*>> members) {
  py::list list;
  for (const auto& [name, format] : members) {
    list.append(py::make_tuple(name, format));
  }
  return list;
}

void add_constants(py::module_& m) {
  py::tuple fields(dragoman::kSlots);
  py::list record = dtype_of({{"ts_recv", "<i8"},
                              {"ts_event", "<i8"},
                              {"last_trade_time", "<i8"},
                              {"sequence", "<i8"},
                              {"prev_sequence", "<i8"},
                              {"key", "<i8"},
                              {"present", "<u4"},
                              {"changed", "<u4"},
                              {"instrument", "<i4"},
                              {"kind", "|u1"},
                              {"mode", "|u1"},
                              {"flags", "<u2"},
                              {"level_begin", "<u4"},
                              {"level_count", "<u4"},
                              {"layout", "<u4"},
                              {"source", "<u4"}});
  for (std::size_t i = 0; i < dragoman::kSlots; ++i) {
    fields[i] = py::str(record_attributes::kSlotNames[i]);
    record.append(py::make_tuple(record_attributes::kSlotNames[i], "<f8"));
  }
  m.attr("FIELDS") = fields;
  m.attr("ABSENT_INT") = dragoman::kAbsentInt;
  m.attr("KINDS") = py::reinterpret_steal<py::tuple>(record_attributes::kinds());
  m.attr("MODES") = py::reinterpret_steal<py::tuple>(record_attributes::modes());
  m.attr("RECORD_DTYPE") = record;
  m.attr("LEVEL_DTYPE") = dtype_of({{"price", "<f8"},
                                    {"quantity", "<f8"},
                                    {"orders", "<u4"},
                                    {"side", "|u1"},
                                    {"action", "|u1"},
                                    {"price_decimals", "|u1"},
                                    {"quantity_decimals", "|u1"}});
}

}  // namespace

bool is_decoder(PyObject* object) {
  return Py_TYPE(object) == decoder_type;
}

PyObject* decode_frame(PyObject* decoder, const std::uint8_t* frame, std::size_t size, std::int64_t ts_recv,
                       bool heads) {
  State& state = state_of(decoder);
  PyObject* const batch = take_batch(state);
  if (batch == nullptr) {
    return nullptr;
  }
  try {
    if (heads) {
      state.decoder->decode_heads(frame, size, ts_recv, batch_block(batch));
    } else {
      state.decoder->decode(frame, size, ts_recv, batch_block(batch));
    }
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
  return Py_NewRef(batch);
}

void bind_decoder(py::module_& m) {
  if (!record_attributes::prepare() || !add_tick_type(m.ptr()) || !add_cursor_type(m.ptr()) ||
      !add_batch_type(m.ptr()) || !add_decoder_type(m.ptr())) {
    throw py::error_already_set();
  }
  add_constants(m);
}

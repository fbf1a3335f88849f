#include <pybind11/pybind11.h>
#include <structmember.h>

#include "bindings.hpp"
#include "py_batch.hpp"
#include "py_clock.hpp"
#include "py_decoder.hpp"
#include "py_handout.hpp"
#include "py_record.hpp"
#include "py_ws_frame.hpp"

/// The way of a frame from the socket to the decoder: what it counts, what it times, and whom it asks.
namespace {

struct PyFrameCounts {
  PyObject_HEAD long long frames;
  long long bytes;
  long long messages;
  long long last_frame_ns;
  long long last_data_ns;
};

struct PyIntake {
  PyObject_HEAD PyObject* decoder;  // null where frames are messages for Python
  PyObject* counts;
  PyObject* on_batch;
  PyObject* on_error;
  PyObject* beside;
  PyObject* slow;
  PyObject* complain;
  Clock clock;
  long long last_frame_ns;
  long long last_frame_wall_ns;
  long long frame_before_wall_ns;
  long long last_data_ns;
  Py_ssize_t max_bytes;
  char numbered;
  char deaf;
  char at_rest;
};

PyTypeObject* counts_type = nullptr;

PyIntake& intake_of(PyObject* self) {
  return *reinterpret_cast<PyIntake*>(self);
}

bool done(PyObject* result) {
  Py_XDECREF(result);
  return result != nullptr;
}

/// Hand a batch on. What comes back as an `Exception` is told to `on_error`; False for anything else.
bool pass_on(PyIntake& intake, PyObject* batch) {
  const bool passed = is_handout(intake.on_batch) ? hand_out(intake.on_batch, batch, intake.last_frame_ns)
                                                  : done(PyObject_CallOneArg(intake.on_batch, batch));
  if (passed) [[likely]] {
    return true;
  }
  PyObject* const error = take_error(PyExc_Exception);
  if (error == nullptr) {
    return false;
  }
  const bool told = done(PyObject_CallOneArg(intake.on_error, error));
  Py_DECREF(error);
  return told;
}

/// Let Python read what the decoder does not: `data` is the frame, or null where only its bytes are at hand.
bool ask_beside(PyIntake& intake, PyObject* data, const std::uint8_t* bytes, std::size_t size,
                PyObject* batch, std::int64_t wall_ns) {
  PyObject* const view =
      data != nullptr ? Py_NewRef(data)
                      : PyMemoryView_FromMemory(const_cast<char*>(reinterpret_cast<const char*>(bytes)),
                                                static_cast<Py_ssize_t>(size), PyBUF_READ);
  PyObject* const when = view != nullptr ? PyLong_FromLongLong(wall_ns) : nullptr;
  bool asked =
      when != nullptr && done(PyObject_CallFunctionObjArgs(intake.beside, view, batch, when, nullptr));
  if (data == nullptr && view != nullptr) {
    // The bytes change with the next frame: a view that was kept must raise when it is read.
    PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
    PyErr_Fetch(&type, &value, &traceback);
    const bool released = done(PyObject_CallMethod(view, "release", nullptr));
    if (asked) {
      asked = released;
    } else {
      PyErr_Restore(type, value, traceback);
    }
  }
  Py_XDECREF(when);
  Py_XDECREF(view);
  return asked;
}

bool take_frame(PyIntake& intake, PyObject* data, const std::uint8_t* bytes, std::size_t size,
                std::int64_t wall_ns, std::int64_t mono_ns) {
  if (intake.deaf) {
    return true;  // given up already: another connection tells the truth now
  }
  auto& counts = *reinterpret_cast<PyFrameCounts*>(intake.counts);
  intake.frame_before_wall_ns = intake.last_frame_wall_ns;
  intake.last_frame_wall_ns = wall_ns;
  intake.last_frame_ns = counts.last_frame_ns = mono_ns;
  ++counts.frames;
  counts.bytes += static_cast<long long>(size);
  if (intake.decoder == nullptr) {
    return ask_beside(intake, data, bytes, size, Py_None, wall_ns);
  }
  PyObject* const decoder = Py_NewRef(intake.decoder);  // until its levels are read, whatever a handler does
  PyObject* const batch = decode_frame(decoder, bytes, size, wall_ns, handlers_first(intake.on_batch));
  if (batch == nullptr) {
    Py_DECREF(decoder);
    return false;
  }
  bool taken = true;
  if (const std::size_t records = dragoman_batch_heads(batch)->record_count; records != 0) {
    intake.last_data_ns = counts.last_data_ns = mono_ns;
    counts.messages += static_cast<long long>(records);
    taken = pass_on(intake, batch);
  }
  batch_block(batch).read_levels();  // the frame is about to go
  Py_DECREF(decoder);
  if (taken && (intake.numbered || !batch_block(batch).control.empty())) {
    taken = ask_beside(intake, data, bytes, size, batch, wall_ns);
  }
  Py_DECREF(batch);
  return taken;
}

PyObject* intake_take(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count != 3) {
    return PyErr_Format(PyExc_TypeError, "Intake.take takes 3 positional arguments, found %zd", count);
  }
  const long long wall_ns = PyLong_AsLongLong(args[1]);
  const long long mono_ns = PyLong_AsLongLong(args[2]);
  Py_buffer buffer;
  if (PyErr_Occurred() != nullptr || PyObject_GetBuffer(args[0], &buffer, PyBUF_SIMPLE) != 0) {
    return nullptr;
  }
  const bool taken = take_frame(intake_of(self), args[0], static_cast<const std::uint8_t*>(buffer.buf),
                                static_cast<std::size_t>(buffer.len), wall_ns, mono_ns);
  PyBuffer_Release(&buffer);
  if (!taken) {
    return nullptr;
  }
  Py_RETURN_NONE;
}

/// What the WebSocket library calls with (transport, frame), thousands of times a second.
PyObject* intake_frame(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count != 2) {
    return PyErr_Format(PyExc_TypeError, "Intake.frame takes 2 positional arguments, found %zd", count);
  }
  PyIntake& intake = intake_of(self);
  const WsFrame* const frame = ws_frame(args[1]);
  if (frame == nullptr || !intake.at_rest || !frame->is_whole_binary() ||
      frame->payload_size > intake.max_bytes) [[unlikely]] {
    if (intake.slow == nullptr) {
      PyErr_SetString(PyExc_RuntimeError, "Intake: nobody tapped it");
      return nullptr;
    }
    PyObject* const slow = Py_NewRef(intake.slow);
    PyObject* const result = PyObject_Vectorcall(slow, args, 2, nullptr);
    Py_DECREF(slow);
    return result;
  }
  std::int64_t wall_ns = 0;
  std::int64_t mono_ns = 0;
  if (!intake.clock.wall(wall_ns) || !intake.clock.mono(mono_ns)) {
    return nullptr;
  }
  if (!take_frame(intake, nullptr, frame->payload, static_cast<std::size_t>(frame->payload_size), wall_ns,
                  mono_ns)) [[unlikely]] {
    PyObject* const error = take_error(PyExc_Exception);
    const bool told = error != nullptr && done(PyObject_CallOneArg(intake.complain, error));
    Py_XDECREF(error);
    if (!told) {
      return nullptr;
    }
  }
  Py_RETURN_NONE;
}

PyObject* intake_tap(PyObject* self, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"slow", "complain", "max_bytes", nullptr};
  PyObject *slow = nullptr, *complain = nullptr;
  Py_ssize_t max_bytes = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO$n:tap", const_cast<char**>(names), &slow, &complain,
                                   &max_bytes)) {
    return nullptr;
  }
  PyIntake& intake = intake_of(self);
  Py_XSETREF(intake.slow, Py_NewRef(slow));
  Py_XSETREF(intake.complain, Py_NewRef(complain));
  intake.max_bytes = max_bytes;
  return PyObject_GetAttrString(self, "_frame");
}

PyObject* intake_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"decoder", "counts",  "on_batch", "on_error", "beside",
                                "mono_ns", "wall_ns", "numbered", nullptr};
  PyObject *decoder = nullptr, *counts = nullptr, *on_batch = nullptr, *on_error = nullptr, *beside = nullptr;
  PyObject *mono = nullptr, *wall = nullptr;
  int numbered = 0;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "OO|$OOOOOp:Intake", const_cast<char**>(names), &decoder,
                                   &counts, &on_batch, &on_error, &beside, &mono, &wall, &numbered)) {
    return nullptr;
  }
  if ((decoder != Py_None && !is_decoder(decoder)) || !PyObject_TypeCheck(counts, counts_type) ||
      on_batch == nullptr || on_error == nullptr || beside == nullptr || mono == nullptr || wall == nullptr) {
    PyErr_SetString(
        PyExc_TypeError,
        "Intake: expected a Decoder or None, FrameCounts, on_batch, on_error, beside, mono_ns and wall_ns");
    return nullptr;
  }
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) {
    return nullptr;
  }
  PyIntake& intake = intake_of(self);
  intake.decoder = decoder != Py_None ? Py_NewRef(decoder) : nullptr;
  intake.counts = Py_NewRef(counts);
  intake.on_batch = Py_NewRef(on_batch);
  intake.on_error = Py_NewRef(on_error);
  intake.beside = Py_NewRef(beside);
  intake.numbered = numbered != 0 && decoder != Py_None;
  std::int64_t mono_ns = 0;
  std::int64_t wall_ns = 0;
  if (!intake.clock.take(mono, wall) || !intake.clock.mono(mono_ns) || !intake.clock.wall(wall_ns)) {
    Py_DECREF(self);
    return nullptr;
  }
  intake.last_frame_ns = intake.last_data_ns = mono_ns;
  intake.last_frame_wall_ns = intake.frame_before_wall_ns = wall_ns;
  return self;
}

int intake_traverse(PyObject* self, visitproc visit, void* arg) {
  const PyIntake& intake = intake_of(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(intake.decoder);
  Py_VISIT(intake.counts);
  Py_VISIT(intake.on_batch);
  Py_VISIT(intake.on_error);
  Py_VISIT(intake.beside);
  Py_VISIT(intake.slow);
  Py_VISIT(intake.complain);
  return intake.clock.traverse(visit, arg);
}

int intake_clear(PyObject* self) {
  PyIntake& intake = intake_of(self);
  intake.deaf = 1;  // whoever calls it still finds none of the rest
  Py_CLEAR(intake.decoder);
  Py_CLEAR(intake.counts);
  Py_CLEAR(intake.on_batch);
  Py_CLEAR(intake.on_error);
  Py_CLEAR(intake.beside);
  Py_CLEAR(intake.complain);
  Py_CLEAR(intake.slow);
  intake.clock.clear();
  return 0;
}

void intake_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  intake_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

bool add_counts_type(PyObject* module) {
  static PyMemberDef members[] = {
      {"frames", T_LONGLONG, offsetof(PyFrameCounts, frames), 0, nullptr},
      {"bytes", T_LONGLONG, offsetof(PyFrameCounts, bytes), 0, nullptr},
      {"messages", T_LONGLONG, offsetof(PyFrameCounts, messages), 0, nullptr},
      {"last_frame_ns", T_LONGLONG, offsetof(PyFrameCounts, last_frame_ns), 0, nullptr},
      {"last_data_ns", T_LONGLONG, offsetof(PyFrameCounts, last_data_ns), 0, nullptr},
      {nullptr, 0, 0, 0, nullptr}};
  PyType_Slot slots[] = {
      {Py_tp_new, reinterpret_cast<void*>(PyType_GenericNew)}, {Py_tp_members, members}, {0, nullptr}};
  PyType_Spec spec = {"dragoman._core.FrameCounts", sizeof(PyFrameCounts), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};
  counts_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return counts_type != nullptr &&
         PyModule_AddObjectRef(module, "FrameCounts", reinterpret_cast<PyObject*>(counts_type)) == 0;
}

bool add_intake_type(PyObject* module) {
  using record_attributes::as_method;
  static PyMethodDef methods[] = {{"take", as_method(intake_take), METH_FASTCALL, nullptr},
                                  {"tap", as_method(intake_tap), METH_VARARGS | METH_KEYWORDS, nullptr},
                                  {"_frame", as_method(intake_frame), METH_FASTCALL, nullptr},
                                  {nullptr, nullptr, 0, nullptr}};
  static PyMemberDef members[] = {
      {"last_frame_ns", T_LONGLONG, offsetof(PyIntake, last_frame_ns), 0, nullptr},
      {"last_frame_wall_ns", T_LONGLONG, offsetof(PyIntake, last_frame_wall_ns), 0, nullptr},
      {"frame_before_wall_ns", T_LONGLONG, offsetof(PyIntake, frame_before_wall_ns), 0, nullptr},
      {"last_data_ns", T_LONGLONG, offsetof(PyIntake, last_data_ns), 0, nullptr},
      {"deaf", T_BOOL, offsetof(PyIntake, deaf), 0, nullptr},
      {"at_rest", T_BOOL, offsetof(PyIntake, at_rest), 0, nullptr},
      {nullptr, 0, 0, 0, nullptr}};
  PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(intake_new)},
                         {Py_tp_dealloc, reinterpret_cast<void*>(intake_dealloc)},
                         {Py_tp_traverse, reinterpret_cast<void*>(intake_traverse)},
                         {Py_tp_clear, reinterpret_cast<void*>(intake_clear)},
                         {Py_tp_methods, methods},
                         {Py_tp_members, members},
                         {0, nullptr}};
  PyType_Spec spec = {"dragoman._core.Intake", sizeof(PyIntake), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC, slots};
  PyObject* const type = PyType_FromSpec(&spec);
  const bool added = type != nullptr && PyModule_AddObjectRef(module, "Intake", type) == 0;
  Py_XDECREF(type);
  return added;
}

}  // namespace

void bind_intake(pybind11::module_& m) {
  if (!add_handout_type(m.ptr()) || !add_counts_type(m.ptr()) || !add_intake_type(m.ptr())) {
    throw pybind11::error_already_set();
  }
}

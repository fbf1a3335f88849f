#include "py_ws_frame.hpp"

namespace {

bool says(PyObject* frame, const char* name, long long expected) {
  PyObject* const value = PyObject_GetAttrString(frame, name);
  PyObject* const number = value != nullptr ? PyNumber_Index(value) : nullptr;
  const long long found = number != nullptr ? PyLong_AsLongLong(number) : -1;
  Py_XDECREF(number);
  Py_XDECREF(value);
  return PyErr_Occurred() == nullptr && found == expected;
}

bool points_to(PyObject* object, const WsFrame& frame) {
  PyObject* const view = PyObject_CallMethod(object, "get_payload_as_memoryview", nullptr);
  Py_buffer buffer;
  if (view == nullptr || PyObject_GetBuffer(view, &buffer, PyBUF_SIMPLE) != 0) {
    Py_XDECREF(view);
    return false;
  }
  const bool same = buffer.buf == frame.payload && buffer.len == frame.payload_size;
  PyBuffer_Release(&buffer);
  Py_DECREF(view);
  return same;
}

bool looks_right(PyObject* object) {
  if (Py_TYPE(object)->tp_basicsize != sizeof(WsFrame)) {
    return false;
  }
  const auto& frame = *reinterpret_cast<const WsFrame*>(object);
  const bool same = says(object, "payload_size", frame.payload_size) &&
                    says(object, "tail_size", frame.tail_size) && says(object, "msg_type", frame.kind) &&
                    says(object, "fin", frame.fin) && says(object, "rsv1", frame.rsv1) &&
                    says(object, "rsv2", frame.rsv2) && says(object, "rsv3", frame.rsv3) &&
                    says(object, "last_in_buffer", frame.last_in_buffer) && points_to(object, frame);
  PyErr_Clear();  // a frame that lacks an attribute is one we do not know
  return same;
}

}  // namespace

const WsFrame* ws_frame(PyObject* object) {
  static PyTypeObject* known = nullptr;
  static PyTypeObject* unknown = nullptr;
  if (Py_TYPE(object) != known) [[unlikely]] {
    if (Py_TYPE(object) == unknown || !looks_right(object)) {
      Py_XSETREF(unknown, reinterpret_cast<PyTypeObject*>(Py_NewRef(Py_TYPE(object))));
      return nullptr;
    }
    Py_XSETREF(known, reinterpret_cast<PyTypeObject*>(Py_NewRef(Py_TYPE(object))));
  }
  return reinterpret_cast<const WsFrame*>(object);
}

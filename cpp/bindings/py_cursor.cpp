#include "py_cursor.hpp"

#include "py_batch.hpp"
#include "py_record.hpp"
#include "py_tick.hpp"

namespace {

struct PyCursor {
  PyObject_HEAD PyObject* batch;  // null once closed
  const dragoman::Record* records;
  Py_ssize_t index;
  Py_ssize_t count;
};

PyTypeObject* cursor_type = nullptr;

PyCursor* cursor_of(PyObject* self) {
  return reinterpret_cast<PyCursor*>(self);
}

void raise_usage_error(const char* message) {
  PyObject* const errors = PyImport_ImportModule("dragoman.errors");
  PyObject* const type = errors != nullptr ? PyObject_GetAttrString(errors, "UsageError") : nullptr;
  if (type != nullptr) {
    PyErr_SetString(type, message);
  }
  Py_XDECREF(type);
  Py_XDECREF(errors);
}

const dragoman::Record* record_of(PyObject* self) {
  const PyCursor* const cursor = cursor_of(self);
  if (cursor->batch == nullptr) {
    raise_usage_error("cursor: it was closed when its callback ended; keep values with Cursor.tick()");
    return nullptr;
  }
  if (cursor->index < 0 || cursor->index >= cursor->count) {
    raise_usage_error("cursor: it stands on no record; read it inside `for row in cursor`");
    return nullptr;
  }
  return cursor->records + cursor->index;
}

void cursor_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  Py_XDECREF(cursor_of(self)->batch);
  PyObject_Free(self);
  Py_DECREF(type);
}

PyObject* cursor_next(PyObject* self) {
  PyCursor* const cursor = cursor_of(self);
  if (cursor->batch == nullptr) {
    raise_usage_error("cursor: it was closed when its callback ended; keep values with Cursor.tick()");
    return nullptr;
  }
  if (cursor->index + 1 >= cursor->count) {
    cursor->index = cursor->count;
    return nullptr;
  }
  ++cursor->index;
  return Py_NewRef(self);
}

PyObject* cursor_close(PyObject* self, PyObject*) {
  Py_CLEAR(cursor_of(self)->batch);
  Py_RETURN_NONE;
}

PyObject* cursor_tick(PyObject* self, PyObject*) {
  const dragoman::Record* const record = record_of(self);
  if (record == nullptr) {
    return nullptr;
  }
  (void)dragoman_batch_view(cursor_of(self)->batch);  // a tick says how many levels came with it
  return make_tick(*record);
}

}  // namespace

PyObject* make_cursor(PyObject* batch) {
  PyCursor* const cursor = PyObject_New(PyCursor, cursor_type);
  if (cursor == nullptr) {
    return nullptr;
  }
  const dragoman::BatchView& heads = *dragoman_batch_heads(batch);
  cursor->batch = Py_NewRef(batch);  // and so its records stay where they are
  cursor->records = heads.records;
  cursor->count = static_cast<Py_ssize_t>(heads.record_count);
  cursor->index = -1;
  return reinterpret_cast<PyObject*>(cursor);
}

bool add_cursor_type(PyObject* module) {
  static PyMethodDef methods[] = {{"close", cursor_close, METH_NOARGS, nullptr},
                                  {"tick", cursor_tick, METH_NOARGS, nullptr},
                                  {nullptr, nullptr, 0, nullptr}};
  PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(cursor_dealloc)},
                         {Py_tp_iter, reinterpret_cast<void*>(PyObject_SelfIter)},
                         {Py_tp_iternext, reinterpret_cast<void*>(cursor_next)},
                         {Py_tp_methods, methods},
                         {Py_tp_getset, record_attributes::Getters<record_of>::table()},
                         {0, nullptr}};
  PyType_Spec spec = {"dragoman._core.Cursor", sizeof(PyCursor), 0,
                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
                      slots};
  cursor_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return cursor_type != nullptr &&
         PyModule_AddObjectRef(module, "Cursor", reinterpret_cast<PyObject*>(cursor_type)) == 0;
}

#include "py_arrow.hpp"

#include <cerrno>
#include <memory>
#include <new>

#include "dragoman/arrow.hpp"
#include "py_batch.hpp"

namespace {

/// Releases what nobody took over, and frees the structure itself.
template <class Structure>
void free_structure(Structure* structure) {
  if (structure->release != nullptr) {
    structure->release(structure);
  }
  delete structure;
}

template <class Structure>
using Owned = std::unique_ptr<Structure, void (*)(Structure*)>;

template <class Structure>
Owned<Structure> make_structure() {
  return Owned<Structure>(new Structure{}, free_structure<Structure>);
}

/// Hand a structure to a capsule of the name the protocol gives it; a consumer moves the content out of it.
template <class Structure>
PyObject* capsule_of(Owned<Structure> structure, const char* name) {
  PyObject* const capsule = PyCapsule_New(structure.get(), name, [](PyObject* self) {
    free_structure(static_cast<Structure*>(PyCapsule_GetPointer(self, PyCapsule_GetName(self))));
  });
  if (capsule != nullptr) {
    structure.release();
  }
  return capsule;
}

/// The protocol lets a consumer wish for another schema and a producer ignore the wish, as this one does.
bool accept_wish(PyObject* args, PyObject* kwargs, const char* format) {
  static const char* names[] = {"requested_schema", nullptr};
  PyObject* wish = nullptr;
  return PyArg_ParseTupleAndKeywords(args, kwargs, format, const_cast<char**>(names), &wish) != 0;
}

template <class Body>
PyObject* guarded(Body&& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return PyErr_NoMemory();
  }
}

/// A stream of one batch, copied when the stream was made.
struct OneBatch {
  ArrowArray array{};
  ~OneBatch() {
    if (array.release != nullptr) {
      array.release(&array);
    }
  }
};

int stream_schema(ArrowArrayStream*, ArrowSchema* out) {
  try {
    dragoman::export_schema(*out);
    return 0;
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  }
}

int stream_next(ArrowArrayStream* stream, ArrowArray* out) {
  auto& held = static_cast<OneBatch*>(stream->private_data)->array;
  *out = held;  // its release is null once it was taken, which is how a stream says that it ended
  held.release = nullptr;
  return 0;
}

const char* stream_error(ArrowArrayStream*) {
  return nullptr;
}

void release_stream(ArrowArrayStream* stream) {
  delete static_cast<OneBatch*>(stream->private_data);
  stream->release = nullptr;
}

}  // namespace

PyObject* batch_arrow_schema(PyObject*, PyObject*) {
  return guarded([] {
    auto schema = make_structure<ArrowSchema>();
    dragoman::export_schema(*schema);
    return capsule_of(std::move(schema), "arrow_schema");
  });
}

PyObject* batch_arrow_array(PyObject* self, PyObject* args, PyObject* kwargs) {
  if (!accept_wish(args, kwargs, "|O:__arrow_c_array__")) {
    return nullptr;
  }
  return guarded([&]() -> PyObject* {
    PyObject* const schema = batch_arrow_schema(self, nullptr);
    if (schema == nullptr) {
      return nullptr;
    }
    PyObject* array = nullptr;
    try {
      auto copy = make_structure<ArrowArray>();
      dragoman::export_batch(*dragoman_batch_view(self), *copy);
      array = capsule_of(std::move(copy), "arrow_array");
    } catch (...) {
      Py_DECREF(schema);
      throw;
    }
    if (array == nullptr) {
      Py_DECREF(schema);
      return nullptr;
    }
    return Py_BuildValue("(NN)", schema, array);
  });
}

PyObject* batch_arrow_stream(PyObject* self, PyObject* args, PyObject* kwargs) {
  if (!accept_wish(args, kwargs, "|O:__arrow_c_stream__")) {
    return nullptr;
  }
  return guarded([&] {
    auto one = std::make_unique<OneBatch>();
    dragoman::export_batch(*dragoman_batch_view(self), one->array);
    auto stream = make_structure<ArrowArrayStream>();
    *stream = {stream_schema, stream_next, stream_error, release_stream, one.release()};
    return capsule_of(std::move(stream), "arrow_array_stream");
  });
}

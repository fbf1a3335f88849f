#include "py_handout.hpp"

#include <structmember.h>

#include <new>

#include "dragoman/books.hpp"
#include "py_batch.hpp"
#include "py_book.hpp"
#include "py_clock.hpp"
#include "py_histogram.hpp"
#include "py_money.hpp"

/// The way of a batch from the decoder to the user's code. It is native because every frame goes it, and
/// Python is asked only for what the frame needs: a handler costs its own call and two clock reads.
///
/// Where no message can break a book, the books wait until somebody looks at one, or until all have been
/// told: they lie scattered, so a frame of many instruments costs them more than its decoding, and most
/// handlers read the tops that the records themselves carry. The levels, which are for books, wait too.
namespace {

struct PyHandout {
  PyObject_HEAD vectorcallfunc call;
  PyObject* books;
  PyObject* handlers;  // a tuple that is replaced whole: a handler that removes itself changes the next batch
  PyObject* broken;
  PyObject* aside;
  PyObject* after;
  PyObject* failed;
  PyObject* took;
  PyObject* age;
  PyObject* marks;
  PyObject* triggers;
  PyObject* moved;
  Clock clock;
  long long ticks;
  std::uint64_t gaps;  // of the books, when `broken` was last called
  char closed;
};

PyTypeObject* handout_type = nullptr;

PyHandout& handout_of(PyObject* self) {
  return *reinterpret_cast<PyHandout*>(self);
}

bool is_set(PyObject* object) {
  return object != nullptr && object != Py_None;
}

bool call_one(PyObject* callable, PyObject* argument) {
  Py_INCREF(callable);  // it may take itself away
  PyObject* const result = PyObject_CallOneArg(callable, argument);
  Py_DECREF(callable);
  Py_XDECREF(result);
  return result != nullptr;
}

/// Count and log what a handler raised; False where it was no `Exception`, which goes on to whoever runs the
/// loop.
bool handler_failed(PyHandout& handout, PyObject* handler) {
  PyObject* const error = take_error(PyExc_Exception);
  if (error == nullptr) {
    return false;
  }
  PyObject* const told = PyObject_CallFunctionObjArgs(handout.failed, handler, error, nullptr);
  Py_DECREF(error);
  Py_XDECREF(told);
  return told != nullptr;
}

bool call_handlers(PyHandout& handout, PyObject* handlers, PyObject* batch, std::int64_t arrived_ns) {
  const bool timed = histogram_in(handout.took) != nullptr;
  std::int64_t began = 0;
  if (timed && !handout.clock.mono(began)) {
    return false;
  }
  std::int64_t age_ns = kNotTold;
  if (histogram_in(handout.age) != nullptr) {
    if (arrived_ns != kNotTold && timed) {
      age_ns = began - arrived_ns;
    } else {
      std::int64_t now = 0;
      if (!handout.clock.wall(now)) {
        return false;
      }
      age_ns = now - dragoman_batch_heads(batch)->ts_recv;
    }
  }
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(handlers); ++i) {
    PyObject* const handler = PyTuple_GET_ITEM(handlers, i);
    PyObject* const result = PyObject_CallOneArg(handler, batch);
    Py_XDECREF(result);
    if (result == nullptr && !handler_failed(handout, handler)) {
      return false;
    }
    // Looked up anew: the handler may have had the histograms exchanged. What is written down waits until the
    // handler has run, since the counts are seldom in a cache.
    if (dragoman::Histogram* const times = histogram_in(handout.took)) {
      std::int64_t ended = 0;
      if (!handout.clock.mono(ended)) {
        return false;
      }
      times->record(ended - began);
      began = ended;
    }
    if (age_ns != kNotTold) {
      if (dragoman::Histogram* const ages = histogram_in(handout.age)) {
        ages->record(age_ns);
      }
      age_ns = kNotTold;
    }
  }
  return true;
}

PyObject* handout_call(PyObject* self, PyObject* const* args, std::size_t flags, PyObject* keywords) {
  if (PyVectorcall_NARGS(flags) != 1 || (keywords != nullptr && PyTuple_GET_SIZE(keywords) != 0)) {
    PyErr_SetString(PyExc_TypeError, "Handout: expected one positional argument, a Batch");
    return nullptr;
  }
  if (!hand_out(self, args[0], kNotTold)) {
    return nullptr;
  }
  Py_RETURN_NONE;
}

PyObject* handout_new(PyTypeObject* type, PyObject* args, PyObject* keywords) {
  static const char* names[] = {"books", "mono_ns", "wall_ns", "failed", nullptr};
  PyObject *books = nullptr, *mono = nullptr, *wall = nullptr, *failed = nullptr;
  if (!PyArg_ParseTupleAndKeywords(args, keywords, "O$OOO:Handout", const_cast<char**>(names), &books, &mono,
                                   &wall, &failed)) {
    return nullptr;
  }
  if (mono == nullptr || wall == nullptr || failed == nullptr || book_types::books_in(books) == nullptr) {
    PyErr_SetString(PyExc_TypeError, "Handout: expected a Books, mono_ns, wall_ns and failed");
    return nullptr;
  }
  PyObject* const self = type->tp_alloc(type, 0);
  if (self == nullptr) {
    return nullptr;
  }
  PyHandout& handout = handout_of(self);
  handout.call = handout_call;
  handout.books = Py_NewRef(books);
  handout.failed = Py_NewRef(failed);
  handout.handlers = PyTuple_New(0);
  if (handout.handlers == nullptr || !handout.clock.take(mono, wall)) {
    Py_DECREF(self);
    return nullptr;
  }
  return self;
}

int handout_traverse(PyObject* self, visitproc visit, void* arg) {
  const PyHandout& handout = handout_of(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(handout.books);
  Py_VISIT(handout.handlers);
  Py_VISIT(handout.broken);
  Py_VISIT(handout.aside);
  Py_VISIT(handout.after);
  Py_VISIT(handout.failed);
  Py_VISIT(handout.took);
  Py_VISIT(handout.age);
  Py_VISIT(handout.marks);
  Py_VISIT(handout.triggers);
  Py_VISIT(handout.moved);
  return handout.clock.traverse(visit, arg);
}

int handout_clear(PyObject* self) {
  PyHandout& handout = handout_of(self);
  handout.closed = 1;  // whoever calls it still finds none of the rest
  Py_CLEAR(handout.books);
  Py_CLEAR(handout.handlers);
  Py_CLEAR(handout.broken);
  Py_CLEAR(handout.aside);
  Py_CLEAR(handout.after);
  Py_CLEAR(handout.failed);
  Py_CLEAR(handout.took);
  Py_CLEAR(handout.age);
  Py_CLEAR(handout.marks);
  Py_CLEAR(handout.triggers);
  Py_CLEAR(handout.moved);
  handout.clock.clear();
  return 0;
}

void handout_dealloc(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  handout_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* get_handlers(PyObject* self, void*) {
  PyObject* const handlers = handout_of(self).handlers;
  return handlers != nullptr ? Py_NewRef(handlers) : PyTuple_New(0);
}

int set_handlers(PyObject* self, PyObject* value, void*) {
  if (value == nullptr || !PyTuple_CheckExact(value)) {
    PyErr_SetString(PyExc_TypeError, "Handout.handlers: expected a tuple of callables");
    return -1;
  }
  Py_XSETREF(handout_of(self).handlers, Py_NewRef(value));
  return 0;
}

template <PyObject* PyHandout::* kMember>
PyObject* get_part(PyObject* self, void*) {
  PyObject* const value = handout_of(self).*kMember;
  return Py_NewRef(value != nullptr ? value : Py_None);
}

/// Take a native object of the type that `kFind` knows, or None. @param closure  that type's name
template <PyObject* PyHandout::* kMember, auto kFind>
int set_part(PyObject* self, PyObject* value, void* closure) {
  if (value == nullptr || (value != Py_None && kFind(value) == nullptr)) {
    PyErr_Format(PyExc_TypeError, "Handout: expected a %s or None", static_cast<const char*>(closure));
    return -1;
  }
  Py_XSETREF(handout_of(self).*kMember, Py_NewRef(value));
  return 0;
}

/// Call `moved` with what fired. Money hangs on the handlers too, so what it raises does not keep them from
/// the batch.
bool tell_moved(PyHandout& handout, const dragoman::Triggers* triggers) {
  PyObject* const fired = triggers != nullptr ? fired_ids(*triggers) : PyTuple_New(0);
  if (fired == nullptr) {
    return false;
  }
  PyObject* const moved = Py_NewRef(handout.moved);  // it may take itself away
  const bool called = call_one(moved, fired) || handler_failed(handout, moved);
  Py_DECREF(moved);
  Py_DECREF(fired);
  return called;
}

/// Take the values of a batch into marks and triggers, and tell what came of it.
bool move_money(PyHandout& handout, const dragoman::BatchView& batch) {
  dragoman::Marks* const marks = marks_in(handout.marks);
  dragoman::Triggers* const triggers = triggers_in(handout.triggers);
  bool told = false;
  if (marks != nullptr) {
    marks->apply(batch);
    told = marks->has_crossed();
  }
  if (triggers != nullptr) {
    told |= triggers->apply(batch) != 0;
  }
  return !told || !is_set(handout.moved) || tell_moved(handout, triggers);
}

/// Everything a batch reaches behind the books: money, those who mend books, handlers, queues.
bool pass_to_all(PyHandout& handout, const dragoman::Books& books, PyObject* batch,
                 const dragoman::BatchView& heads, std::int64_t arrived_ns) {
  if ((is_set(handout.marks) || is_set(handout.triggers)) && !move_money(handout, heads)) {
    return false;
  }
  if (books.wanting() || books.counters().gaps != handout.gaps) [[unlikely]] {
    handout.gaps = books.counters().gaps;
    if (is_set(handout.broken) && !call_one(handout.broken, batch)) {
      return false;
    }
  }
  if (is_set(handout.aside) && !call_one(handout.aside, batch)) {
    return false;
  }
  PyObject* const handlers = handout.handlers;
  if (handlers != nullptr && PyTuple_GET_SIZE(handlers) != 0) {
    Py_INCREF(handlers);
    const bool called = call_handlers(handout, handlers, batch, arrived_ns);
    Py_DECREF(handlers);
    if (!called) {
      return false;
    }
  }
  return !is_set(handout.after) || call_one(handout.after, batch);
}

}  // namespace

bool is_handout(PyObject* object) {
  return Py_TYPE(object) == handout_type;
}

bool handlers_first(PyObject* object) {
  if (!is_handout(object)) {
    return false;
  }
  const PyHandout& handout = handout_of(object);
  return !handout.closed && PyTuple_GET_SIZE(handout.handlers) != 0 &&
         !book_types::books_in(handout.books)->breakable();
}

PyObject* take_error(PyObject* kind) {
  if (!PyErr_ExceptionMatches(kind)) {
    return nullptr;
  }
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback != nullptr) {
    PyException_SetTraceback(value, traceback);
  }
  Py_DECREF(type);
  Py_XDECREF(traceback);
  return value;
}

bool hand_out(PyObject* self, PyObject* batch, std::int64_t arrived_ns) {
  PyHandout& handout = handout_of(self);
  if (handout.closed) {
    return true;
  }
  const dragoman::BatchView* const heads = dragoman_batch_heads(batch);
  if (heads == nullptr) {
    return false;
  }
  handout.ticks += static_cast<long long>(heads->record_count);
  PyObject* const owner = Py_NewRef(handout.books);  // the handout may be cleared on the way
  dragoman::Books& books = *book_types::books_in(owner);
  bool passed = true;
  if (books.breakable()) {
    try {
      books.apply(*dragoman_batch_view(batch));
    } catch (const std::bad_alloc&) {
      PyErr_NoMemory();
      passed = false;
    }
  } else {
    books.put_off(batch_block(batch));
  }
  passed = passed && pass_to_all(handout, books, batch, *heads, arrived_ns);
  books.settle();
  if (books.ran_out() && passed) [[unlikely]] {
    PyErr_NoMemory();
    passed = false;
  }
  Py_DECREF(owner);
  return passed;
}

bool add_handout_type(PyObject* module) {
  static PyMemberDef members[] = {
      {"broken", T_OBJECT, offsetof(PyHandout, broken), 0, nullptr},
      {"aside", T_OBJECT, offsetof(PyHandout, aside), 0, nullptr},
      {"after", T_OBJECT, offsetof(PyHandout, after), 0, nullptr},
      {"moved", T_OBJECT, offsetof(PyHandout, moved), 0, nullptr},
      {"ticks", T_LONGLONG, offsetof(PyHandout, ticks), READONLY, nullptr},
      {"closed", T_BOOL, offsetof(PyHandout, closed), 0, nullptr},
      {"__vectorcalloffset__", T_PYSSIZET, offsetof(PyHandout, call), READONLY, nullptr},
      {nullptr, 0, 0, 0, nullptr}};
  static char histogram[] = "Histogram", marks[] = "Marks", triggers[] = "Triggers";
  static PyGetSetDef getters[] = {
      {"handlers", get_handlers, set_handlers, nullptr, nullptr},
      {"took", get_part<&PyHandout::took>, set_part<&PyHandout::took, histogram_in>, nullptr, histogram},
      {"age", get_part<&PyHandout::age>, set_part<&PyHandout::age, histogram_in>, nullptr, histogram},
      {"marks", get_part<&PyHandout::marks>, set_part<&PyHandout::marks, marks_in>, nullptr, marks},
      {"triggers", get_part<&PyHandout::triggers>, set_part<&PyHandout::triggers, triggers_in>, nullptr,
       triggers},
      {nullptr, nullptr, nullptr, nullptr, nullptr}};
  PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(handout_new)},
                         {Py_tp_dealloc, reinterpret_cast<void*>(handout_dealloc)},
                         {Py_tp_traverse, reinterpret_cast<void*>(handout_traverse)},
                         {Py_tp_clear, reinterpret_cast<void*>(handout_clear)},
                         {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                         {Py_tp_members, members},
                         {Py_tp_getset, getters},
                         {0, nullptr}};
  PyType_Spec spec = {
      "dragoman._core.Handout", sizeof(PyHandout), 0,
      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL, slots};
  handout_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  return handout_type != nullptr &&
         PyModule_AddObjectRef(module, "Handout", reinterpret_cast<PyObject*>(handout_type)) == 0;
}

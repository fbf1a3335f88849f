#include <Python.h>
#include <structmember.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "bindings.hpp"
#include "py_clock.hpp"
#include "py_http.hpp"
#include "py_values.hpp"

namespace py = pybind11;

/// One exchange after the other on a connection, for the plain case: a request that is one head and one body
/// goes out in one piece, and a plain reply that comes in one piece is handed to whoever waits. Everything
/// else that arrives goes to `otherwise`, which takes the long way; nothing is decided here that the long way
/// would decide differently.
///
/// Theory: `on_end` is whoever waits, None where nobody does. `plain` says that a request went out and
/// nothing of its reply has come, so that the next bytes are the beginning of a reply. Servers write the same
/// head before each reply of a second: one that is the last one over again is not read again.
///
/// Everything here runs under the GIL.
namespace {

enum Field : std::size_t { kStatus, kHeaders, kBody, kRecv, kSent, kLast, kFirst, kFields };

constexpr std::array<const char*, kFields> kNames = {
    "status", "headers", "body", "ts_recv", "mono_sent_ns", "mono_recv_ns", "mono_first_ns"};

struct Exchange {
  PyObject_HEAD PyObject* on_end;  // None where nobody waits
  long long sent_ns;
  char plain;
  Clock clock;
  PyObject* reply;      // the empty one, which is copied
  PyObject* finished;   // called before whoever waits: the connection may carry another request
  PyObject* otherwise;  // called with bytes that are for the long way
  Py_ssize_t longest_head;
  Py_ssize_t longest_body;
  std::array<Py_ssize_t, kFields> at;
  std::string head;   // of the last reply
  PyObject* headers;  // what it says
  PyObject* status;
};

Exchange& exchange_of(PyObject* self) {
  return *reinterpret_cast<Exchange*>(self);
}

/// Put what is taken over into a slot of a reply; false where it could not be made.
bool put(Exchange& exchange, PyObject* reply, Field field, PyObject* made) {
  if (made == nullptr) {
    return false;
  }
  PyObject** slot = slot_at(reply, exchange.at[field]);
  Py_XSETREF(*slot, made);
  return true;
}

/// Return an empty reply; null with an exception.
PyObject* empty_reply(const Exchange& exchange) {
  PyTypeObject* type = Py_TYPE(exchange.reply);
  PyObject* made = type->tp_alloc(type, 0);
  if (made == nullptr) {
    return nullptr;
  }
  for (const Py_ssize_t offset : known_layout(type).offsets) {
    *slot_at(made, offset) = Py_XNewRef(*slot_at(exchange.reply, offset));
  }
  return made;
}

/// Read a reply into `exchange.headers`, `status` and `body`: 1, 0 where it is not plain, -1 with an
/// exception.
int read_reply(Exchange& exchange, std::string_view data, std::size_t& body) {
  const std::string_view last = exchange.head;
  // The head says how long the body is, so the same head has a body of the same length.
  if (!last.empty() && data.substr(0, last.size()) == last) {
    const Py_ssize_t whole = PyLong_AsSsize_t(PyTuple_GET_ITEM(exchange.headers, 1));
    if (data.size() == static_cast<std::size_t>(whole)) {
      body = last.size();
      return 1;
    }
    return 0;
  }
  PlainReply found;
  PyObject* headers = nullptr;
  const int is = read_plain_reply(data, exchange.longest_head, exchange.longest_body, found, &headers);
  if (is <= 0) {
    return is;
  }
  body = found.body;
  PyObject* status = PyLong_FromLong(found.status);
  PyObject* kept = Py_BuildValue("(Nn)", headers, static_cast<Py_ssize_t>(data.size()));
  if (status == nullptr || kept == nullptr) {
    Py_XDECREF(status);
    Py_XDECREF(kept);
    return -1;
  }
  exchange.head.assign(data.substr(0, found.body));
  Py_XSETREF(exchange.status, status);
  Py_XSETREF(exchange.headers, kept);
  return 1;
}

/// Return the reply that `data` is whole; null without an exception where it is for the long way.
PyObject* plain_reply_of(Exchange& exchange, PyObject* data) {
  const std::string_view bytes(PyBytes_AS_STRING(data), static_cast<std::size_t>(PyBytes_GET_SIZE(data)));
  std::size_t body = 0;
  if (read_reply(exchange, bytes, body) <= 0) {
    return nullptr;
  }
  std::int64_t mono = 0;
  std::int64_t wall = 0;
  if (!exchange.clock.mono(mono) || !exchange.clock.wall(wall)) {
    return nullptr;
  }
  PyObject* reply = empty_reply(exchange);
  if (reply == nullptr) {
    return nullptr;
  }
  const std::string_view content = bytes.substr(body);
  PyObject* at = PyLong_FromLongLong(mono);
  // Its own headers: whoever takes it may do with them what it wants.
  const bool good = at != nullptr && put(exchange, reply, kStatus, Py_NewRef(exchange.status)) &&
                    put(exchange, reply, kHeaders, PyDict_Copy(PyTuple_GET_ITEM(exchange.headers, 0))) &&
                    put(exchange, reply, kBody,
                        PyBytes_FromStringAndSize(content.data(), static_cast<Py_ssize_t>(content.size()))) &&
                    put(exchange, reply, kRecv, PyLong_FromLongLong(wall)) &&
                    put(exchange, reply, kSent, PyLong_FromLongLong(exchange.sent_ns)) &&
                    put(exchange, reply, kLast, Py_NewRef(at)) && put(exchange, reply, kFirst, Py_NewRef(at));
  Py_XDECREF(at);
  if (!good) {
    Py_DECREF(reply);
    return nullptr;
  }
  return reply;
}

/// Call what it holds at this moment: it may close the exchange meanwhile. Null stands for nobody.
PyObject* called(PyObject* callable, PyObject* argument) {
  if (callable == nullptr) {
    Py_RETURN_NONE;
  }
  Py_INCREF(callable);
  PyObject* const found =
      argument == nullptr ? PyObject_CallNoArgs(callable) : PyObject_CallOneArg(callable, argument);
  Py_DECREF(callable);
  return found;
}

PyObject* go_otherwise(const Exchange& exchange, PyObject* data) {
  return called(exchange.otherwise, data);
}

PyObject* data_received(PyObject* self, PyObject* data) {
  Exchange& exchange = exchange_of(self);
  if (exchange.plain == 0 || exchange.on_end == Py_None || !PyBytes_CheckExact(data)) {
    return go_otherwise(exchange, data);
  }
  PyObject* reply = nullptr;
  try {
    reply = plain_reply_of(exchange, data);
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  }
  if (reply == nullptr) {
    return PyErr_Occurred() != nullptr ? nullptr : go_otherwise(exchange, data);
  }
  exchange.plain = 0;
  PyObject* waiting = exchange.on_end;
  exchange.on_end = Py_NewRef(Py_None);
  // Free before it is told: whoever is told may send the next request at once. Told it is in any case.
  PyObject* done = called(exchange.finished, nullptr);
  if (done == nullptr) {
    PyErr_WriteUnraisable(self);
  }
  Py_XDECREF(done);
  done = PyObject_CallOneArg(waiting, reply);
  Py_DECREF(waiting);
  Py_DECREF(reply);
  return done;
}

/// Return head, length and body in one piece; without a body the head alone.
PyObject* message(std::string_view head, PyObject* body) {
  std::array<char, 40> line;
  std::string_view between = "\r\n";
  std::string_view content;
  if (body != Py_None) {
    constexpr std::string_view kLength = "Content-Length: ";
    content = {PyBytes_AS_STRING(body), static_cast<std::size_t>(PyBytes_GET_SIZE(body))};
    std::memcpy(line.data(), kLength.data(), kLength.size());
    char* end = std::to_chars(line.data() + kLength.size(), line.data() + line.size(), content.size()).ptr;
    std::memcpy(end, "\r\n\r\n", 4);
    between = {line.data(), static_cast<std::size_t>(end + 4 - line.data())};
  }
  const std::size_t size = head.size() + between.size() + content.size();
  PyObject* made = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size));
  if (made != nullptr) {
    char* to = PyBytes_AS_STRING(made);
    std::memcpy(to, head.data(), head.size());
    std::memcpy(to + head.size(), between.data(), between.size());
    std::memcpy(to + head.size() + between.size(), content.data(), content.size());
  }
  return made;
}

/// Where this raises before anything is written, `on_end` is what it was.
PyObject* carry(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count != 5 || !PyBytes_CheckExact(args[1])) {
    PyErr_SetString(PyExc_TypeError, "carry takes what writes, a head, a body or None, on_end and plain");
    return nullptr;
  }
  Exchange& exchange = exchange_of(self);
  const int plain = PyObject_IsTrue(args[4]);
  std::int64_t now = 0;
  if (plain < 0 || !exchange.clock.mono(now)) {
    return nullptr;
  }
  PyObject* body = args[2] == Py_None ? Py_NewRef(Py_None) : PyBytes_FromObject(args[2]);
  if (body == nullptr) {
    return nullptr;
  }
  PyObject* data =
      message({PyBytes_AS_STRING(args[1]), static_cast<std::size_t>(PyBytes_GET_SIZE(args[1]))}, body);
  Py_DECREF(body);
  if (data == nullptr) {
    return nullptr;
  }
  exchange.sent_ns = now;
  exchange.plain = static_cast<char>(plain);
  Py_SETREF(exchange.on_end, Py_NewRef(args[3]));
  PyObject* written = PyObject_CallOneArg(args[0], data);
  Py_DECREF(data);
  return written;
}

bool find_fields(Exchange& exchange) {
  try {
    PyTypeObject* type = Py_TYPE(exchange.reply);
    const SlotLayout& layout = known_layout(type);
    for (std::size_t i = 0; i < kFields; ++i) {
      exchange.at[i] = offset_of(type, layout, py::str(kNames[i]).ptr());
      if (exchange.at[i] < 0) {
        return false;
      }
    }
  } catch (py::error_already_set& error) {
    error.restore();
    return false;
  } catch (const py::builtin_exception& error) {
    error.set_error();
    return false;
  }
  return true;
}

PyObject* exchange_new(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject* mono = nullptr;
  PyObject* wall = nullptr;
  PyObject* reply = nullptr;
  PyObject* finished = nullptr;
  PyObject* otherwise = nullptr;
  Py_ssize_t longest_head = 0;
  Py_ssize_t longest_body = 0;
  if (!PyArg_ParseTuple(args, "OOOOOnn", &mono, &wall, &reply, &finished, &otherwise, &longest_head,
                        &longest_body)) {
    return nullptr;
  }
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) {
    return nullptr;
  }
  Exchange& exchange = exchange_of(self);
  new (&exchange.head) std::string();
  exchange.on_end = Py_NewRef(Py_None);
  exchange.reply = Py_NewRef(reply);
  exchange.finished = Py_NewRef(finished);
  exchange.otherwise = Py_NewRef(otherwise);
  exchange.longest_head = longest_head;
  exchange.longest_body = longest_body;
  if (!exchange.clock.take(mono, wall) || !find_fields(exchange)) {
    Py_DECREF(self);
    return nullptr;
  }
  return self;
}

int exchange_traverse(PyObject* self, visitproc visit, void* arg) {
  Exchange& exchange = exchange_of(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(exchange.on_end);
  Py_VISIT(exchange.reply);
  Py_VISIT(exchange.finished);
  Py_VISIT(exchange.otherwise);
  Py_VISIT(exchange.headers);
  return exchange.clock.traverse(visit, arg);
}

/// Let go of whoever is called: nobody waits any more, and whatever still arrives is dropped.
int exchange_clear(PyObject* self) {
  Exchange& exchange = exchange_of(self);
  exchange.plain = 0;
  PyObject* const waiting = std::exchange(exchange.on_end, Py_NewRef(Py_None));
  PyObject* const finished = std::exchange(exchange.finished, nullptr);
  PyObject* const otherwise = std::exchange(exchange.otherwise, nullptr);
  Py_XDECREF(waiting);
  Py_XDECREF(finished);
  Py_XDECREF(otherwise);
  return 0;
}

PyObject* exchange_close(PyObject* self, PyObject*) {
  exchange_clear(self);
  Py_RETURN_NONE;
}

void exchange_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  Exchange& exchange = exchange_of(self);
  Py_CLEAR(exchange.on_end);
  Py_CLEAR(exchange.reply);
  Py_CLEAR(exchange.finished);
  Py_CLEAR(exchange.otherwise);
  Py_CLEAR(exchange.headers);
  Py_CLEAR(exchange.status);
  exchange.clock.clear();
  exchange.head.~basic_string();
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef kMethods[] = {
    {"carry", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(carry)), METH_FASTCALL,
     "carry($self, write, head, body, on_end, plain, /)\n--\n\nWrite a request in one piece; `on_end` is "
     "told "
     "its reply."},
    {"close", exchange_close, METH_NOARGS,
     "close($self, /)\n--\n\nLet go of whoever is called; what still arrives is dropped."},
    {"data_received", data_received, METH_O,
     "data_received($self, data, /)\n--\n\nTake what arrived: a plain reply, or bytes for the long way."},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef kMembers[] = {
    {"on_end", T_OBJECT_EX, offsetof(Exchange, on_end), 0, "Whoever waits for the reply, or None."},
    {"sent_ns", T_LONGLONG, offsetof(Exchange, sent_ns), READONLY,
     "When the last request was written, monotonic."},
    {"plain", T_BOOL, offsetof(Exchange, plain), 0, "Nothing of a plain reply has come yet."},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot kSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(exchange_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(exchange_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(exchange_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(exchange_clear)},
    {Py_tp_methods, kMethods},
    {Py_tp_members, kMembers},
    {0, nullptr},
};

PyType_Spec kSpec = {"dragoman._core.HttpExchange", sizeof(Exchange), 0,
                     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC, kSlots};

}  // namespace

void bind_http_exchange(py::module_& m) {
  auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&kSpec));
  if (!type) {
    throw py::error_already_set();
  }
  m.attr("HttpExchange") = type;
}

#include <Python.h>

#include <string>
#include <string_view>

#include "bindings.hpp"
#include "py_http.hpp"

namespace py = pybind11;

/// The two pieces of HTTP that stand on the path of every order, for the plain case only. Whatever is not
/// plain is answered with None, and the caller takes the long way, which decides what is right: nothing is
/// refused here, and nothing is accepted that the long way would read differently.
namespace {

constexpr bool is_alphanumeric(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// The letters that a rule allows, looked up by one load each.
struct Letters {
  bool in[256] = {};

  constexpr explicit Letters(std::string_view others, bool text = false) {
    for (int c = 0; c < 256; ++c) {
      const auto letter = static_cast<unsigned char>(c);
      in[c] = text ? letter == '\t' || (letter >= 0x20 && letter != 0x7f) : is_alphanumeric(letter);
    }
    for (const char c : others) {
      in[static_cast<unsigned char>(c)] = true;
    }
  }
};

constexpr Letters kToken("!#$%&'*+-.^_`|~");
constexpr Letters kText("", true);
constexpr Letters kUnreserved("_.-~");

bool is_token(unsigned char c) {
  return kToken.in[c];
}
bool is_text(unsigned char c) {
  return kText.in[c];
}
bool is_unreserved(unsigned char c) {
  return kUnreserved.in[c];
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool same(std::string_view text, std::string_view lower_case) {
  if (text.size() != lower_case.size()) {
    return false;
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (lower(text[i]) != lower_case[i]) {
      return false;
    }
  }
  return true;
}

/// Return the length that 1 to 9 digits name, or -1.
Py_ssize_t length_of(std::string_view digits) {
  if (digits.empty() || digits.size() > 9) {
    return -1;
  }
  Py_ssize_t value = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') {
      return -1;
    }
    value = value * 10 + (c - '0');
  }
  return value;
}

/// Put one header into `headers` under its name in lower case. Return 1, 0 where the reply is not plain, -1
/// on error.
int take_header(PyObject* headers, std::string_view name, std::string_view value, Py_ssize_t* length) {
  char key[64];
  if (name.size() > sizeof key) {
    return 0;
  }
  for (std::size_t i = 0; i < name.size(); ++i) {
    key[i] = lower(name[i]);
  }
  const std::string_view lower_name(key, name.size());
  if (lower_name == "content-length") {
    *length = length_of(value);
    if (*length < 0) {
      return 0;
    }
  } else if (lower_name == "connection") {
    if (!same(value, "keep-alive")) {
      return 0;
    }
  } else if (lower_name == "transfer-encoding" || lower_name == "content-encoding" ||
             lower_name == "upgrade" || lower_name == "proxy-connection" || lower_name == "trailer") {
    return 0;
  }
  PyObject* held_name = PyUnicode_DecodeLatin1(key, static_cast<Py_ssize_t>(name.size()), nullptr);
  PyObject* held_value = PyUnicode_DecodeLatin1(value.data(), static_cast<Py_ssize_t>(value.size()), nullptr);
  int taken = -1;
  if (held_name != nullptr && held_value != nullptr) {
    const Py_ssize_t before = PyDict_GET_SIZE(headers);
    if (PyDict_SetItem(headers, held_name, held_value) == 0) {
      taken = PyDict_GET_SIZE(headers) == before + 1 ? 1 : 0;  // a repeated one is for the long way to join
    }
  }
  Py_XDECREF(held_name);
  Py_XDECREF(held_value);
  return taken;
}

/// Read the headers of a reply from `at` on. Return where the body begins, 0 where the reply is not plain, -1
/// on error.
Py_ssize_t read_headers(std::string_view data, std::size_t at, PyObject* headers, Py_ssize_t* length) {
  while (true) {
    const std::size_t end = data.find("\r\n", at);
    if (end == std::string_view::npos) {
      return 0;
    }
    if (end == at) {
      return static_cast<Py_ssize_t>(end) + 2;
    }
    std::size_t colon = at;
    while (colon < end && is_token(static_cast<unsigned char>(data[colon]))) {
      ++colon;
    }
    if (colon == at || colon == end || data[colon] != ':') {
      return 0;
    }
    std::size_t from = colon + 1;
    std::size_t to = end;
    while (from < to && (data[from] == ' ' || data[from] == '\t')) {
      ++from;
    }
    while (to > from && (data[to - 1] == ' ' || data[to - 1] == '\t')) {
      --to;
    }
    for (std::size_t i = from; i < to; ++i) {
      if (!is_text(static_cast<unsigned char>(data[i]))) {
        return 0;
      }
    }
    const int taken = take_header(headers, data.substr(at, colon - at), data.substr(from, to - from), length);
    if (taken <= 0) {
      return taken;
    }
    at = end + 2;
  }
}

PyObject* plain_reply(PyObject*, PyObject* const* args, Py_ssize_t count) {
  if (count != 3 || !PyBytes_CheckExact(args[0]) || !PyLong_CheckExact(args[1]) ||
      !PyLong_CheckExact(args[2])) {
    PyErr_SetString(PyExc_TypeError, "plain_reply takes bytes, the longest head and the longest body");
    return nullptr;
  }
  const std::string_view data(PyBytes_AS_STRING(args[0]),
                              static_cast<std::size_t>(PyBytes_GET_SIZE(args[0])));
  const Py_ssize_t longest_head = PyLong_AsSsize_t(args[1]);
  const Py_ssize_t longest_body = PyLong_AsSsize_t(args[2]);
  if (PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  PlainReply found;
  PyObject* headers = nullptr;
  const int is = read_plain_reply(data, longest_head, longest_body, found, &headers);
  if (is < 0) {
    return nullptr;
  }
  if (is == 0) {
    Py_RETURN_NONE;
  }
  const std::string_view body = data.substr(found.body);
  return Py_BuildValue("(lNy#)", found.status, headers, body.data(), static_cast<Py_ssize_t>(body.size()));
}

/// Return the UTF-8 of a text of unreserved characters alone, or an empty view with data() null where it is
/// none.
std::string_view plain_text(PyObject* text) {
  if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text)) {
    return {};
  }
  const std::string_view found(static_cast<const char*>(PyUnicode_DATA(text)),
                               static_cast<std::size_t>(PyUnicode_GET_LENGTH(text)));
  for (const char c : found) {
    if (!is_unreserved(static_cast<unsigned char>(c))) {
      return {};
    }
  }
  return found;
}

PyObject* plain_form(PyObject*, PyObject* pairs) {
  if (!PyTuple_CheckExact(pairs)) {
    Py_RETURN_NONE;
  }
  std::string form;
  form.reserve(256);
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(pairs); ++i) {
    PyObject* pair = PyTuple_GET_ITEM(pairs, i);
    if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2) {
      Py_RETURN_NONE;
    }
    const std::string_view name = plain_text(PyTuple_GET_ITEM(pair, 0));
    const std::string_view value = plain_text(PyTuple_GET_ITEM(pair, 1));
    if (name.data() == nullptr || value.data() == nullptr) {
      Py_RETURN_NONE;
    }
    if (i > 0) {
      form += '&';
    }
    form.append(name).append(1, '=').append(value);
  }
  return PyBytes_FromStringAndSize(form.data(), static_cast<Py_ssize_t>(form.size()));
}

PyMethodDef kMethods[] = {
    {"plain_reply", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(plain_reply)), METH_FASTCALL,
     "plain_reply(data, max_header_bytes, max_body_bytes, /)\n--\n\nRead a whole, plain reply."},
    {"plain_form", plain_form, METH_O, "plain_form(pairs, /)\n--\n\nWrite a form that needs no encoding."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

int read_plain_reply(std::string_view data, Py_ssize_t longest_head, Py_ssize_t longest_body,
                     PlainReply& found, PyObject** headers) {
  // "HTTP/1.1 200 OK\r\n": statuses below 200, and those that never have a body, have rules of their own.
  if (data.size() < 16 || data.substr(0, 9) != "HTTP/1.1 " || data[12] != ' ') {
    return 0;
  }
  const Py_ssize_t status = length_of(data.substr(9, 3));
  const std::size_t line = data.find("\r\n");
  if (status < 200 || status > 599 || status == 204 || status == 304 || line == std::string_view::npos) {
    return 0;
  }
  for (std::size_t i = 13; i < line; ++i) {
    if (!is_text(static_cast<unsigned char>(data[i]))) {
      return 0;
    }
  }
  PyObject* made = PyDict_New();
  if (made == nullptr) {
    return -1;
  }
  Py_ssize_t length = -1;
  const Py_ssize_t body = read_headers(data, line + 2, made, &length);
  const Py_ssize_t size = static_cast<Py_ssize_t>(data.size());
  if (body <= 0 || length < 0 || size - body != length || body > longest_head || length > longest_body) {
    Py_DECREF(made);
    return body < 0 ? -1 : 0;
  }
  found.status = static_cast<long>(status);
  found.body = static_cast<std::size_t>(body);
  *headers = made;
  return 1;
}

void bind_http(py::module_& m) {
  if (PyModule_AddFunctions(m.ptr(), kMethods) != 0) {
    throw py::error_already_set();
  }
}

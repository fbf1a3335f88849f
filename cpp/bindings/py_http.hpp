#pragma once

#include <Python.h>

#include <string_view>

/// A whole reply as `plain_reply` reads it: one that no rule of HTTP but the length frames.
struct PlainReply {
  long status = 0;
  std::size_t body = 0;  // where it begins
};

/// Read a whole, plain reply: 1 and `found` and a new dict `headers`; 0 where it is none; -1 with an
/// exception.
int read_plain_reply(std::string_view data, Py_ssize_t longest_head, Py_ssize_t longest_body,
                     PlainReply& found, PyObject** headers);

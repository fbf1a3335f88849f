#pragma once

#include <Python.h>

#include <cstdint>
#include <string_view>

/// A number that is exactly `coefficient` times ten to the power of `exponent`, which is -18 to 0.
struct PlainNumber {
  std::int64_t coefficient = 0;
  int exponent = 0;
};

/// Read digits with at most one point among them and a sign before them, 18 digits at most. False for all
/// else, numbers or not.
bool read_plain(std::string_view text, PlainNumber& number);

/// Remember what a Decimal is, for `plain_number`; it must be one of exactly that class.
void note_plain(PyObject* decimal, const PlainNumber& number);

/// Read a Decimal. False, without an error, where it is none of that class or no such number.
///
/// Decimals tell little of themselves to C, so the last ones read are kept with what they are: those of an
/// instrument are the same objects from order to order, those of an order have just been made of their text.
bool plain_number(PyTypeObject* decimal_type, PyObject* decimal, PlainNumber& number);

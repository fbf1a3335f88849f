#include "py_number.hpp"

#include <array>
#include <utility>

namespace {

constexpr int kMostDigits = 18;  // what int64 holds of any

struct Known {
  PyObject* decimal = nullptr;  // held, so that its address means nothing else meanwhile
  PlainNumber number;
};

std::array<Known, 128> known;  // under the GIL

Known& place_of(PyObject* decimal) {
  const auto bits = reinterpret_cast<std::uintptr_t>(decimal) >> 4;
  return known[(bits ^ (bits >> 7)) % known.size()];
}

}  // namespace

bool read_plain(std::string_view text, PlainNumber& number) {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative) {
    text.remove_prefix(1);
  }
  std::int64_t coefficient = 0;
  int digits = 0;
  int point = -1;  // digits before it
  for (const char letter : text) {
    if (letter == '.') {
      if (point >= 0) {
        return false;
      }
      point = digits;
    } else if (letter >= '0' && letter <= '9' && digits < kMostDigits) {
      coefficient = coefficient * 10 + (letter - '0');
      ++digits;
    } else {
      return false;
    }
  }
  number.coefficient = negative ? -coefficient : coefficient;
  number.exponent = point < 0 ? 0 : point - digits;
  return digits > 0;
}

void note_plain(PyObject* decimal, const PlainNumber& number) {
  Known& place = place_of(decimal);
  place.number = number;
  Py_XSETREF(place.decimal, Py_NewRef(decimal));
}

bool plain_number(PyTypeObject* decimal_type, PyObject* decimal, PlainNumber& number) {
  const Known& place = place_of(decimal);
  if (place.decimal == decimal) {
    number = place.number;
    return true;
  }
  if (Py_TYPE(decimal) != decimal_type) {
    return false;
  }
  PyObject* const text = PyObject_Str(decimal);
  if (text == nullptr) {
    PyErr_Clear();
    return false;
  }
  const bool is_plain =
      PyUnicode_IS_COMPACT_ASCII(text) && read_plain({static_cast<const char*>(PyUnicode_DATA(text)),
                                                      static_cast<std::size_t>(PyUnicode_GET_LENGTH(text))},
                                                     number);
  Py_DECREF(text);
  if (is_plain) {
    note_plain(decimal, number);
  }
  return is_plain;
}

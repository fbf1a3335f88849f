#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// One mapping of a description, with the path that leads to it. Every key is asked for by name, so a
/// description from an older or newer contract fails here and says where.
class Node {
 public:
  Node(pybind11::handle object, std::string path) : path_(std::move(path)) {
    if (!pybind11::isinstance<pybind11::dict>(object)) {
      fail("", object, "a mapping");
    }
    dict_ = pybind11::reinterpret_borrow<pybind11::dict>(object);
  }

  [[nodiscard]] pybind11::object at(const char* key) const {
    if (!dict_.contains(key)) {
      throw pybind11::value_error(path_ + ": key '" + key + "' is missing");
    }
    return dict_[key];
  }

  [[nodiscard]] std::string text(const char* key) const { return as_text(at(key), key); }
  [[nodiscard]] std::int64_t integer(const char* key) const { return as_integer(at(key), key); }

  [[nodiscard]] bool flag(const char* key) const {
    const pybind11::object value = at(key);
    if (!pybind11::isinstance<pybind11::bool_>(value)) {
      fail(key, value, "True or False");
    }
    return value.cast<bool>();
  }

  [[nodiscard]] std::optional<std::int64_t> maybe_integer(const char* key) const {
    const pybind11::object value = at(key);
    return value.is_none() ? std::nullopt : std::optional(as_integer(value, key));
  }

  [[nodiscard]] std::optional<std::string> maybe_text(const char* key) const {
    const pybind11::object value = at(key);
    return value.is_none() ? std::nullopt : std::optional(as_text(value, key));
  }

  [[nodiscard]] Node node(const char* key) const { return {at(key), path_ + ": " + key}; }

  /// What `read` makes of the mapping under `key`, or nothing for None.
  template <class Read>
  [[nodiscard]] auto maybe(const char* key, Read read) const
      -> std::optional<decltype(read(std::declval<Node>()))> {
    const pybind11::object value = at(key);
    if (value.is_none()) {
      return std::nullopt;
    }
    return read(Node(value, path_ + ": " + key));
  }

  /// What `read` makes of each mapping of the sequence under `key`.
  template <class Read>
  [[nodiscard]] auto each(const char* key, Read read) const {
    std::vector<decltype(read(std::declval<Node>()))> out;
    const pybind11::sequence items = sequence(key);
    for (std::size_t i = 0; i < items.size(); ++i) {
      out.push_back(read(Node(items[i], path_ + ": " + key + "[" + std::to_string(i) + "]")));
    }
    return out;
  }

  [[nodiscard]] std::vector<std::int64_t> integers(const char* key) const {
    return integers_of(at(key), key);
  }

  [[nodiscard]] std::vector<std::int64_t> integers_of(const pybind11::object& value, const char* key) const {
    std::vector<std::int64_t> out;
    for (const pybind11::handle item : sequence_of(value, key)) {
      out.push_back(as_integer(item, key));
    }
    return out;
  }

  [[nodiscard]] std::vector<std::string> texts(const char* key) const {
    std::vector<std::string> out;
    for (const pybind11::handle item : sequence(key)) {
      out.push_back(as_text(item, key));
    }
    return out;
  }

  [[nodiscard]] pybind11::sequence sequence(const char* key) const { return sequence_of(at(key), key); }

  [[nodiscard]] pybind11::sequence sequence_of(const pybind11::object& value, const char* key) const {
    if (!pybind11::isinstance<pybind11::tuple>(value) && !pybind11::isinstance<pybind11::list>(value)) {
      fail(key, value, "a tuple");
    }
    return pybind11::reinterpret_borrow<pybind11::sequence>(value);
  }

  /// The two items of a pair under `key`.
  [[nodiscard]] std::pair<pybind11::object, pybind11::object> pair_of(const pybind11::object& value,
                                                                      const char* key) const {
    const pybind11::sequence items = sequence_of(value, key);
    if (items.size() != 2) {
      fail(key, value, "a pair");
    }
    return {items[0], items[1]};
  }

  [[nodiscard]] std::int64_t as_integer(pybind11::handle value, const char* key) const {
    if (!PyLong_Check(value.ptr()) || PyBool_Check(value.ptr())) {
      fail(key, value, "an int");
    }
    int overflow = 0;
    const long long result = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    if (overflow != 0) {
      fail(key, value, "an int of 64 bits");
    }
    return result;
  }

  /// 64 bits, signed or not: masks and the sentinels of u64 fields.
  [[nodiscard]] std::uint64_t bits(const char* key) const {
    const pybind11::object value = at(key);
    if (!PyLong_Check(value.ptr())) {
      fail(key, value, "an int");
    }
    const std::uint64_t result = PyLong_AsUnsignedLongLong(value.ptr());
    if (PyErr_Occurred() != nullptr) {
      PyErr_Clear();
      fail(key, value, "an int from 0 to 2**64 - 1");
    }
    return result;
  }

  [[nodiscard]] std::string as_text(pybind11::handle value, const char* key) const {
    if (!pybind11::isinstance<pybind11::str>(value)) {
      fail(key, value, "a str");
    }
    return pybind11::cast<std::string>(value);
  }

  [[noreturn]] void fail(std::string_view key, pybind11::handle found, const char* expected) const {
    const std::string where = key.empty() ? path_ : path_ + ": " + std::string(key);
    throw pybind11::value_error(where + ": found " + pybind11::cast<std::string>(pybind11::repr(found)) +
                                ", expected " + expected);
  }

  /// The same mapping, with its name in the path.
  [[nodiscard]] Node called(const std::string& name) const {
    Node named = *this;
    named.path_ += " '" + name + "'";
    return named;
  }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  pybind11::dict dict_;
  std::string path_;
};

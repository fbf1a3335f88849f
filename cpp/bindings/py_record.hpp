#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>

#include "dragoman/record.hpp"

/// What `Tick` and `Cursor` share: the attributes of a record. All need the GIL; functions that return a
/// PyObject* return a new reference, or null with the error set.
namespace record_attributes {

/// Make the interned names that the getters hand out; once per process. False with the error set.
bool prepare();

PyObject* slot(const dragoman::Record& record, std::size_t index);
PyObject* integer_or_none(std::int64_t value);
PyObject* kind(const dragoman::Record& record);
PyObject* mode(const dragoman::Record& record);

/// The canonical id of a handle, None where the record is unbound. The strings are kept: one per instrument.
PyObject* instrument_id(std::int32_t handle);

extern const char* const kSlotNames[dragoman::kSlots];

/// New references to the tuples of names that are the module's KINDS and MODES.
PyObject* kinds();
PyObject* modes();

/// The getters of all attributes, for a type whose record `Of` finds (null with the error set where there is
/// none).
template <const dragoman::Record* (*Of)(PyObject*)>
struct Getters {
  template <auto Read>
  static PyObject* get(PyObject* self, void*) {
    const dragoman::Record* const record = Of(self);
    return record != nullptr ? Read(*record) : nullptr;
  }

  static PyObject* get_slot(PyObject* self, void* index) {
    const dragoman::Record* const record = Of(self);
    return record != nullptr ? slot(*record, reinterpret_cast<std::size_t>(index)) : nullptr;
  }

  static PyObject* signed_of(std::int64_t value) { return PyLong_FromLongLong(value); }
  static PyObject* unsigned_of(std::uint64_t value) { return PyLong_FromUnsignedLongLong(value); }

  /// Terminated by a null name, as PyGetSetDef tables are.
  static PyGetSetDef* table() {
    using R = dragoman::Record;
    static PyGetSetDef defs[14 + dragoman::kSlots + 1] = {
        {"instrument", get<[](const R& r) { return signed_of(r.instrument); }>, nullptr, nullptr, nullptr},
        {"instrument_id", get<[](const R& r) { return record_attributes::instrument_id(r.instrument); }>,
         nullptr, nullptr, nullptr},
        {"key", get<[](const R& r) { return signed_of(r.key); }>, nullptr, nullptr, nullptr},
        {"kind", get<record_attributes::kind>, nullptr, nullptr, nullptr},
        {"mode", get<record_attributes::mode>, nullptr, nullptr, nullptr},
        {"ts_recv", get<[](const R& r) { return signed_of(r.ts_recv); }>, nullptr, nullptr, nullptr},
        {"ts_event", get<[](const R& r) { return integer_or_none(r.ts_event); }>, nullptr, nullptr, nullptr},
        {"last_trade_time", get<[](const R& r) { return integer_or_none(r.last_trade_time); }>, nullptr,
         nullptr, nullptr},
        {"sequence", get<[](const R& r) { return integer_or_none(r.sequence); }>, nullptr, nullptr, nullptr},
        {"prev_sequence", get<[](const R& r) { return integer_or_none(r.prev_sequence); }>, nullptr, nullptr,
         nullptr},
        {"present", get<[](const R& r) { return unsigned_of(r.present); }>, nullptr, nullptr, nullptr},
        {"changed", get<[](const R& r) { return unsigned_of(r.changed); }>, nullptr, nullptr, nullptr},
        {"flags", get<[](const R& r) { return unsigned_of(r.flags); }>, nullptr, nullptr, nullptr},
        {"layout", get<[](const R& r) { return unsigned_of(r.layout); }>, nullptr, nullptr, nullptr},
    };
    for (std::size_t i = 0; i < dragoman::kSlots; ++i) {
      defs[14 + i] = {kSlotNames[i], get_slot, nullptr, nullptr, reinterpret_cast<void*>(i)};
    }
    return defs;
  }
};

/// Cast a METH_FASTCALL function to what method tables hold.
template <class Function>
PyCFunction as_method(Function function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

}  // namespace record_attributes

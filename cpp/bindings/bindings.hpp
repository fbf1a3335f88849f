#pragma once

#include <pybind11/pybind11.h>

/// One function per module of the core; each puts its names into `m`. A module adds its line here and in
/// module.cpp.
void bind_book(pybind11::module_& m);
void bind_clock(pybind11::module_& m);
void bind_crc32c(pybind11::module_& m);
void bind_decoder(pybind11::module_& m);
void bind_gate(pybind11::module_& m);
void bind_histogram(pybind11::module_& m);
void bind_http(pybind11::module_& m);
void bind_http_exchange(pybind11::module_& m);
void bind_identity(pybind11::module_& m);
void bind_instruments(pybind11::module_& m);
void bind_journal(pybind11::module_& m);
void bind_journal_queue(pybind11::module_& m);
void bind_intake(pybind11::module_& m);
void bind_layout(pybind11::module_& m);
void bind_layout_json(pybind11::module_& m);
void bind_layout_protobuf(pybind11::module_& m);
void bind_marks(pybind11::module_& m);
void bind_plain(pybind11::module_& m);
void bind_rate_limit(pybind11::module_& m);
void bind_request(pybind11::module_& m);
void bind_sequence_guard(pybind11::module_& m);
void bind_triggers(pybind11::module_& m);
void bind_turnstile(pybind11::module_& m);
void bind_values(pybind11::module_& m);

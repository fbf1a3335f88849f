#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>

/// What other bindings do with a `Decoder`. All need the GIL.

[[nodiscard]] bool is_decoder(PyObject* object);

/// Decode one frame; the batch it became, a new reference, or null with MemoryError set.
///
/// @param decoder  one for which `is_decoder` holds
/// @param ts_recv  ns UTC
/// @param heads    levels may be left; `Block::read_levels` must come before the frame or the decoder goes
PyObject* decode_frame(PyObject* decoder, const std::uint8_t* frame, std::size_t size, std::int64_t ts_recv,
                       bool heads = false);

#pragma once

#include <Python.h>

#include <cstddef>
#include <cstdint>

/// A frame of the WebSocket library, read without a call.
///
/// Theory: picows publishes the memory of its `WSFrame` in picows.pxd, for those who compile against it. We
/// do not, so this says the same again and believes it only after a look: the type must have this size, and
/// the first frame of that type must show here what its attributes say. Otherwise every frame is left to
/// Python, which is slower and nothing else.
struct WsFrame {
  PyObject_HEAD void* vtable;
  PyObject* test_payload;
  const std::uint8_t* payload;
  Py_ssize_t payload_size;
  Py_ssize_t tail_size;
  int kind;
  std::uint8_t fin;
  std::uint8_t rsv1;
  std::uint8_t rsv2;
  std::uint8_t rsv3;
  std::uint8_t last_in_buffer;

  static constexpr int kBinary = 2;

  [[nodiscard]] bool is_whole_binary() const noexcept {
    return kind == kBinary && fin == 1 && (rsv1 | rsv2 | rsv3) == 0;
  }
};

/// The frame behind `object`, null where it is none whose memory is known (no error is set). Needs the GIL.
/// Good until the callback that got it returns.
const WsFrame* ws_frame(PyObject* object);

#pragma once

#include <memory>

#include "dragoman/packed_layout.hpp"

/// What Python's `Layout` holds.
struct PyLayout {
  std::shared_ptr<const dragoman::packed::Layout> packed;
};

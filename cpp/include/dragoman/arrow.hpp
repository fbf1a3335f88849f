#pragma once

#include <cstdint>

#include "dragoman/batch.hpp"

/// The structures of the Arrow C data and C stream interfaces, as their specification lays them out; an ABI
/// that any Arrow library reads. The guards are the specification's, so that two headers can meet in one
/// file.
extern "C" {
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE
struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  std::int64_t flags;
  std::int64_t n_children;
  ArrowSchema** children;
  ArrowSchema* dictionary;
  void (*release)(ArrowSchema*);
  void* private_data;
};

struct ArrowArray {
  std::int64_t length;
  std::int64_t null_count;
  std::int64_t offset;
  std::int64_t n_buffers;
  std::int64_t n_children;
  const void** buffers;
  ArrowArray** children;
  ArrowArray* dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};
#endif
#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE
struct ArrowArrayStream {
  int (*get_schema)(ArrowArrayStream*, ArrowSchema*);
  int (*get_next)(ArrowArrayStream*, ArrowArray*);
  const char* (*get_last_error)(ArrowArrayStream*);
  void (*release)(ArrowArrayStream*);
  void* private_data;
};
#endif
}

namespace dragoman {

/// Batches as Arrow struct arrays: a column a field, nulls where a value is absent, levels as a list of
/// structs.
///
/// One columnar copy of the whole batch; nothing of it points into the block, so it may outlive every frame.
/// Whoever takes a structure owns it and calls its `release`, once. Both may throw std::bad_alloc, and then
/// leave `out` untouched.
void export_schema(ArrowSchema& out);

void export_batch(const BatchView& batch, ArrowArray& out);

}  // namespace dragoman

#pragma once

#include <cstdlib>
#include <new>

/// Counts what the program allocates from here on; include it in one source of a test.

inline int g_allocations = 0;

void* operator new(std::size_t size) {
  ++g_allocations;
  void* const found = std::malloc(size != 0 ? size : 1);
  if (found == nullptr) throw std::bad_alloc();
  return found;
}
void operator delete(void* block) noexcept {
  std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
  std::free(block);
}

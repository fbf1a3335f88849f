#pragma once

#include <cstddef>
#include <cstdint>

namespace dragoman {

/// CRC-32C (Castagnoli) of `size` bytes at `data`; `seed` is the checksum of what came before, 0 at the
/// start.
///
/// Uses the processor's own instruction where it has one (SSE 4.2, asked once at run time), else eight
/// tables. Both give the same value. Allocates nothing, any thread, O(size): about 8 GB/s and 2 GB/s.
[[nodiscard]] std::uint32_t crc32c(const void* data, std::size_t size, std::uint32_t seed = 0) noexcept;

/// The same from tables alone, whatever the processor offers; for tests.
[[nodiscard]] std::uint32_t crc32c_tables(const void* data, std::size_t size,
                                          std::uint32_t seed = 0) noexcept;

/// Whether `crc32c` runs on the processor's instruction.
[[nodiscard]] bool crc32c_in_hardware() noexcept;

}  // namespace dragoman

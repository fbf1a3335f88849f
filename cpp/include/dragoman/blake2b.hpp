#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace dragoman {

using Hash16 = std::array<std::uint8_t, 16>;

/// BLAKE2b of `size` bytes at `data`, without a key, 16 bytes long (RFC 7693). Allocates nothing, any thread,
/// O(size).
[[nodiscard]] Hash16 blake2b_16(const void* data, std::size_t size) noexcept;

}  // namespace dragoman

#pragma once

#include <cstdint>
#include <string_view>

namespace dragoman {

/// The process-wide table of instruments: canonical id <-> dense handle.
///
/// Handles start at 0, only grow and are never reused, so arrays may be indexed by them. Names stay where
/// they are for ever: a returned view is never invalid. Any thread may call; takes a mutex, so not for the
/// hot path.

/// Return the handle of `id`, making one the first time. Allocates then.
std::int32_t intern_instrument(std::string_view id);

/// Return the canonical id behind `handle`, empty when no instrument has it.
[[nodiscard]] std::string_view instrument_name(std::int64_t handle) noexcept;

[[nodiscard]] std::int32_t instrument_count() noexcept;

}  // namespace dragoman

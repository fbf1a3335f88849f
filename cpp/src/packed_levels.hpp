#pragma once

#include <cstddef>

#include "dragoman/packed_layout.hpp"

namespace dragoman::packed {

/// Return the row loop for a table, the general one where no tight one was made for its types.
LevelFn level_function(const LevelTable& table, bool big) noexcept;

/// How many rows the table has in this packet; false where the packet promises rows beyond its end or the
/// limit.
bool count_rows(const LevelTable& table, const std::uint8_t* packet, std::size_t length, bool big,
                std::uint32_t& rows) noexcept;

/// The rows of a table over stored values, some of which may never have been told.
///
/// @param known  by position: whether the value is there; a row without price or quantity makes no level
Level* known_levels(const LevelTable& table, const std::uint8_t* values, const std::uint8_t* known,
                    std::uint32_t width, Divisor scale, bool big, Level* out, Outcome& outcome) noexcept;

}  // namespace dragoman::packed

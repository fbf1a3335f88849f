#pragma once

#include <cstddef>

#include "dragoman/packed_layout.hpp"

namespace dragoman::packed {

/// Return the row loop for a table, the general one where no tight one was made for its types.
LevelFn level_function(const LevelTable& table, bool big) noexcept;

/// Set the loops over a run, `Depth::run` and `tops`, where it is one bid and one ask table of one tight
/// shape that give the top of book too; tops only where no price can be refused.
void choose_loops(Depth& depth, bool big) noexcept;

inline constexpr std::uint32_t kTopOfBook =
    1u << static_cast<unsigned>(Slot::bid_price) | 1u << static_cast<unsigned>(Slot::bid_quantity) |
    1u << static_cast<unsigned>(Slot::ask_price) | 1u << static_cast<unsigned>(Slot::ask_quantity);

/// Take the slots of `fill` from the first levels; return those whose side is empty, which become NaN.
std::uint32_t fill_top(std::uint32_t fill, const Level* bid, const Level* ask, const Level* end,
                       Record& record) noexcept;

/// How many rows the table has in this packet; false where the packet promises rows beyond its end or the
/// limit.
bool count_rows(const LevelTable& table, const std::uint8_t* packet, std::size_t length, bool big,
                std::uint32_t& rows) noexcept;

/// The rows of a table over stored values, some of which may never have been told.
///
/// @param known  by position: whether the value is there; a row without price or quantity makes no level
Level* known_levels(const LevelTable& table, const std::uint8_t* values, const std::uint8_t* known,
                    std::uint32_t width, const Divisor& scale, bool big, Level* out,
                    Outcome& outcome) noexcept;

}  // namespace dragoman::packed

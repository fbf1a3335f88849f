#pragma once

#include <cstddef>
#include <cstdint>

namespace dragoman::json {

/// How many entries lie behind the last quote, each the size of the text.
inline constexpr std::size_t kQuoteSentinels = 24;

/// Note where the quotes of a text stand. False where that says nothing of its parts, or there is nothing to
/// gain: it has escapes or control characters (line ends among them).
///
/// Then every quote opens or closes a text, and what lies between the two needs no further look.
/// @param text  padded with 16 readable bytes  @param out  room for size + kQuoteSentinels entries
bool note_quotes(const std::uint8_t* text, std::size_t size, std::uint32_t* out) noexcept;

}  // namespace dragoman::json

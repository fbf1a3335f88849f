#pragma once

#include "dragoman/packed_layout.hpp"

namespace dragoman::packed {

/// What a group does with its values.
enum class Form : std::uint8_t {
  plain,    ///< as they are
  row,      ///< divided by the packet's divisor
  own,      ///< divided by the field's divisor
  rounded,  ///< floats, to the field's digits
  time,     ///< to ns, checked
  integer,  ///< sequence numbers
};

/// Return the loop for one wire type and form.
///
/// @param checked  fields carry sentinels
/// @return         null where the type has no such form. Reads `Op`s for unchecked plain and row, `WideOp`s
/// otherwise.
GroupFn group_function(Wire wire, Form form, bool checked, bool big) noexcept;

/// Whether the loop for this form reads `WideOp`s.
constexpr bool reads_wide(Form form, bool checked) noexcept {
  return checked || (form != Form::plain && form != Form::row);
}

/// Presence bit of the first integer member of a record; they follow in storage order.
inline constexpr std::uint8_t kFirstIntegerBit = 24;

}  // namespace dragoman::packed

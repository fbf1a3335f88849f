#pragma once

#include <cmath>
#include <cstdint>

#include "packed_read.hpp"
#include "protobuf_read.hpp"

/// From a number on the wire to what a record holds.
namespace dragoman::protobuf {

/// An integer member of a record by its presence bit; they follow one another.
[[gnu::always_inline]] inline std::int64_t& integer_of(Record& record, std::uint8_t bit) noexcept {
  static_assert(offsetof(Record, last_trade_time) == offsetof(Record, ts_event) + 8 &&
                offsetof(Record, sequence) == offsetof(Record, ts_event) + 16 &&
                offsetof(Record, prev_sequence) == offsetof(Record, ts_event) + 24);
  constexpr std::int64_t Record::* kMembers[] = {&Record::ts_event, &Record::last_trade_time,
                                                 &Record::sequence, &Record::prev_sequence};
  return record.*kMembers[bit - kSlots];
}

/// `raw` units of `multiplier` ns, and a shift; false for what does not fit, or would read as absent.
[[gnu::always_inline]] inline bool scale_time(std::int64_t raw, std::int64_t multiplier,
                                              std::int64_t shift_ns, std::int64_t& out) noexcept {
  std::int64_t scaled;
  return !__builtin_mul_overflow(raw, multiplier, &scaled) &&
         !__builtin_add_overflow(scaled, shift_ns, &out) && out != kAbsentInt;
}

/// Nanoseconds in the unit that a time of this magnitude must have.
inline std::int64_t unit_of(double time) noexcept {
  const double size = std::fabs(time);
  return size < 1e11 ? 1'000'000'000 : size < 1e14 ? 1'000'000 : size < 1e17 ? 1'000 : 1;
}

inline bool integer_from(const Number& number, const Entry& entry, std::int64_t& out) noexcept {
  std::int64_t multiplier = entry.multiplier;
  switch (number.kind) {
    case Number::Kind::integer:
      if (entry.form == Form::integer) {
        out = number.integer;
        return out != kAbsentInt;
      }
      if (multiplier == 0) {
        multiplier = unit_of(static_cast<double>(number.integer));
      }
      return scale_time(number.integer, multiplier, entry.shift_ns, out);
    case Number::Kind::floating: {
      if (!(std::fabs(number.floating) < 9e18)) {
        return false;
      }
      if (multiplier == 0) {
        multiplier = unit_of(number.floating);
      }
      // Whole units exactly, the rest to the nearest ns.
      const double whole = std::trunc(number.floating);
      const auto rest = static_cast<std::int64_t>(
          std::nearbyint((number.floating - whole) * static_cast<double>(multiplier)));
      std::int64_t shift;
      return !__builtin_add_overflow(entry.shift_ns, rest, &shift) &&
             scale_time(static_cast<std::int64_t>(whole), multiplier, shift, out);
    }
    default:
      return false;
  }
}

/// NaN for what is no number.
inline double double_from(const Number& number, const Entry& entry) noexcept {
  switch (number.kind) {
    case Number::Kind::floating:
      if (!packed::is_finite(number.floating)) {
        return packed::kNan;
      }
      return entry.form == Form::rounded
                 ? packed::round_to(number.floating, entry.divisor.value, entry.digits)
             : entry.form == Form::divided ? number.floating / entry.divisor.value + 0.0
                                           : number.floating + 0.0;
    case Number::Kind::integer:
      return entry.form == Form::divided ? packed::divide(number.integer, entry.divisor)
                                         : static_cast<double>(number.integer);
    case Number::Kind::natural: {
      const auto value = static_cast<std::uint64_t>(number.integer);
      return entry.form == Form::divided ? packed::divide(value, entry.divisor) : static_cast<double>(value);
    }
    case Number::Kind::none:
      break;
  }
  return packed::kNan;
}

inline bool is_absent(const Number& number, std::int64_t absent) noexcept {
  return number.kind == Number::Kind::floating
             ? number.floating == static_cast<double>(absent)
             : number.kind == Number::Kind::integer && number.integer == absent;
}

}  // namespace dragoman::protobuf

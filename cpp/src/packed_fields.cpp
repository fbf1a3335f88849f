#include "packed_fields.hpp"

#include <type_traits>

#include "packed_read.hpp"

namespace dragoman::packed {
namespace {

static_assert(kHasTsEvent == 1u << kFirstIntegerBit && kHasPrevSequence == 1u << (kFirstIntegerBit + 3));
static_assert(offsetof(Record, ts_event) == 8 && offsetof(Record, prev_sequence) == 32);

void store_integer(Record& record, std::uint8_t bit, std::int64_t value) noexcept {
  std::memcpy(reinterpret_cast<char*>(&record) + 8 * (std::size_t{bit} - kFirstIntegerBit + 1), &value,
              sizeof value);
}

void reject(Outcome& outcome, std::uint32_t slot) noexcept {
  outcome.gone |= 1u << slot;
  ++outcome.rejected;
}

/// A raw time or number as int64, ns for times; false where int64 cannot hold it.
template <Form F, class T>
bool to_integer(T raw, const WideOp& op, std::int64_t& value) noexcept {
  if constexpr (std::is_same_v<T, std::uint64_t>) {
    if (raw > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return false;
    }
  }
  value = static_cast<std::int64_t>(raw);
  if constexpr (F == Form::time) {
    if constexpr (sizeof(T) < 8) {
      // 2^32 s is 4.3e18 ns, and compile() keeps the shift below 1e18: both fit together.
      value = value * op.multiplier + op.shift_ns;
    } else if (__builtin_mul_overflow(value, op.multiplier, &value) ||
               __builtin_add_overflow(value, op.shift_ns, &value)) {
      return false;
    }
  }
  return value != kAbsentInt;
}

/// One value of one packet, in every form.
template <class T, bool Big, Form F, bool Checked, class OpType>
[[gnu::always_inline]] inline void run_one(const std::uint8_t* packet, const OpType& op, const Divisor& scale,
                                           Record& record, Outcome& outcome) {
  const T raw = load<T, Big>(packet + op.offset);
  bool absent = false;
  if constexpr (Checked) {
    if (op.has_unchanged && raw == static_cast<T>(op.unchanged)) {
      outcome.kept |= 1u << op.slot;
      return;
    }
    absent = op.has_absent && raw == static_cast<T>(op.absent);
    outcome.gone |= static_cast<std::uint32_t>(absent) << op.slot;
  }
  if constexpr (F == Form::time || F == Form::integer) {
    std::int64_t value = kAbsentInt;
    if (!absent && !to_integer<F>(raw, op, value)) [[unlikely]] {
      reject(outcome, op.slot);
      value = kAbsentInt;
    }
    store_integer(record, static_cast<std::uint8_t>(op.slot), value);
  } else {
    double value;
    if constexpr (std::floating_point<T>) {
      value = static_cast<double>(raw);
      if (!is_finite(value)) [[unlikely]] {
        if (!absent) {
          reject(outcome, op.slot);
        }
        record.values[op.slot] = kNan;
        return;
      }
      if constexpr (F == Form::rounded) {
        value = round_to(value, op.divisor.value, op.digits);
      } else if constexpr (F == Form::own) {
        value = value / op.divisor.value + 0.0;
      } else if constexpr (F == Form::row) {
        value = value / scale.value + 0.0;
      } else {
        value += 0.0;  // -0.0 becomes 0.0, so that equal values have equal bytes
      }
    } else if constexpr (F == Form::row) {
      value = divide(raw, scale);
    } else if constexpr (F == Form::own) {
      value = divide(raw, op.divisor);
    } else {
      value = static_cast<double>(raw);
    }
    if constexpr (Checked) {
      value = absent ? kNan : value;
    }
    record.values[op.slot] = value;
  }
}

template <class T, bool Big, Form F, bool Checked>
void run_group(const Run& run, const void* raw_ops, std::uint32_t count) {
  using OpType = std::conditional_t<reads_wide(F, Checked), WideOp, Op>;
  const auto* const ops = static_cast<const OpType*>(raw_ops);
  // Members are read one by one: a copy of the struct would be made of wider loads than the stores that just
  // made it, which the processor cannot forward.
  const std::uint8_t* packet = run.packet;
  const std::size_t stride = run.stride;
  const Divisor* const scales = run.scales;
  Record* const records = run.records;
  Outcome* const outcomes = run.outcomes;
  const std::uint32_t packets = run.count;
  if constexpr (F == Form::row && !Checked && std::integral<T> && sizeof(T) <= 4) {
    // Division is what such a group waits for, and two quotients cost no more than one: take the fields in
    // pairs, or the packets where there is one field.
    typedef double Pair __attribute__((vector_size(16)));
    if (count == 1) {
      const Op op = ops[0];
      std::uint32_t j = 0;
      for (; j + 2 <= packets; j += 2, packet += 2 * stride) {
        const Pair values = Pair{static_cast<double>(load<T, Big>(packet + op.offset)),
                                 static_cast<double>(load<T, Big>(packet + stride + op.offset))} /
                            Pair{scales[j].value, scales[j + 1].value};
        records[j].values[op.slot] = values[0];
        records[j + 1].values[op.slot] = values[1];
      }
      if (j < packets) {
        records[j].values[op.slot] = static_cast<double>(load<T, Big>(packet + op.offset)) / scales[j].value;
      }
      return;
    }
    for (std::uint32_t j = 0; j < packets; ++j, packet += stride) {
      double* const slots = records[j].values;
      const double divisor = scales[j].value;
      const Op* op = ops;
      for (const Op* const pairs = ops + (count & ~1u); op != pairs; op += 2) {
        const Pair values = Pair{static_cast<double>(load<T, Big>(packet + op[0].offset)),
                                 static_cast<double>(load<T, Big>(packet + op[1].offset))} /
                            Pair{divisor, divisor};
        slots[op[0].slot] = values[0];
        slots[op[1].slot] = values[1];
      }
      if ((count & 1u) != 0) {
        slots[op->slot] = static_cast<double>(load<T, Big>(packet + op->offset)) / divisor;
      }
    }
    return;
  }
  if constexpr (F == Form::plain && !Checked && std::integral<T>) {
    for (std::uint32_t j = 0; j < packets; ++j, packet += stride) {
      double* const slots = records[j].values;
      const Op* op = ops;
      for (const Op* const pairs = ops + (count & ~1u); op != pairs; op += 2) {
        const auto one = static_cast<double>(load<T, Big>(packet + op[0].offset));
        const auto two = static_cast<double>(load<T, Big>(packet + op[1].offset));
        slots[op[0].slot] = one;
        slots[op[1].slot] = two;
      }
      if ((count & 1u) != 0) {
        slots[op->slot] = static_cast<double>(load<T, Big>(packet + op->offset));
      }
    }
    return;
  }
  for (std::uint32_t j = 0; j < packets; ++j, packet += stride) {
    const Divisor scale = {scales[j].value, scales[j].exact};
    for (std::uint32_t i = 0; i < count; ++i) {
      run_one<T, Big, F, Checked>(packet, ops[i], scale, records[j], outcomes[j]);
    }
  }
}

template <class T, bool Big, Form F>
GroupFn pick_checked(bool checked) noexcept {
  return checked ? &run_group<T, Big, F, true> : &run_group<T, Big, F, false>;
}

template <class T, bool Big>
GroupFn pick_form(Form form, bool checked) noexcept {
  switch (form) {
    case Form::plain:
      return pick_checked<T, Big, Form::plain>(checked);
    case Form::row:
      return pick_checked<T, Big, Form::row>(checked);
    case Form::own:
      return pick_checked<T, Big, Form::own>(checked);
    case Form::rounded:
      if constexpr (std::floating_point<T>) {
        return pick_checked<T, Big, Form::rounded>(checked);
      }
      return nullptr;
    case Form::time:
      if constexpr (std::integral<T>) {
        return pick_checked<T, Big, Form::time>(checked);
      }
      return nullptr;
    case Form::integer:
      if constexpr (std::integral<T>) {
        return pick_checked<T, Big, Form::integer>(checked);
      }
      return nullptr;
  }
  return nullptr;
}

template <bool Big>
GroupFn pick_wire(Wire wire, Form form, bool checked) noexcept {
  switch (wire) {
    case Wire::i8:
      return pick_form<std::int8_t, false>(form, checked);
    case Wire::u8:
      return pick_form<std::uint8_t, false>(form, checked);
    case Wire::i16:
      return pick_form<std::int16_t, Big>(form, checked);
    case Wire::u16:
      return pick_form<std::uint16_t, Big>(form, checked);
    case Wire::i32:
      return pick_form<std::int32_t, Big>(form, checked);
    case Wire::u32:
      return pick_form<std::uint32_t, Big>(form, checked);
    case Wire::i64:
      return pick_form<std::int64_t, Big>(form, checked);
    case Wire::u64:
      return pick_form<std::uint64_t, Big>(form, checked);
    case Wire::f32:
      return pick_form<float, Big>(form, checked);
    case Wire::f64:
      return pick_form<double, Big>(form, checked);
    case Wire::digits:
      return nullptr;
  }
  return nullptr;
}

}  // namespace

GroupFn group_function(Wire wire, Form form, bool checked, bool big) noexcept {
  return big ? pick_wire<true>(wire, form, checked) : pick_wire<false>(wire, form, checked);
}

}  // namespace dragoman::packed

#include "dragoman/json_mold.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "json_scan.hpp"

namespace dragoman::json {
namespace {

constexpr std::size_t kMostSteps = 64;
constexpr std::size_t kStepBytes = 8;
constexpr std::size_t kMostConstant = 64;

/// Whether a condition on the message compares the value at a slot.
bool tells_kinds(const Layout& layout, std::uint16_t slot) {
  const auto compares = [&](const Condition& condition) {
    return condition.how == Condition::How::equals && condition.depth == 0 &&
           std::find(condition.slots.begin(), condition.slots.end(), slot) != condition.slots.end();
  };
  return std::any_of(layout.layouts.begin(), layout.layouts.end(), [&](const MessageLayout& one) {
    return std::any_of(one.when.begin(), one.when.end(), compares);
  });
}

/// Add steps for the bytes in [from, end); the last of them is returned.
MoldStep& put_bytes(Mold& mold, const std::uint8_t* from, const std::uint8_t* end) {
  do {
    MoldStep step;
    step.size = static_cast<std::uint8_t>(std::min<std::ptrdiff_t>(end - from, kStepBytes));
    std::memcpy(&step.word, from, step.size);
    std::memset(&step.mask, 0xFF, step.size);
    mold.steps.push_back(step);
    from += step.size;
  } while (from != end);
  return mold.steps.back();
}

constexpr std::uint32_t kUsualTime = 30;
constexpr std::int64_t Record::* kIntegers[] = {&Record::ts_event, &Record::last_trade_time,
                                                &Record::sequence, &Record::prev_sequence};

/// Read a decimal up to the byte that stops it into a slot; null where it is not a common one.
[[gnu::always_inline]] inline const std::uint8_t* put_decimal(const MoldStep& step, const std::uint8_t* at,
                                                              Record& record) noexcept {
  constexpr std::uint64_t kOnes = 0x0101010101010101u;
  const std::uint64_t stops = load8(at) ^ step.stop;
  const std::uint64_t stop = (stops - kOnes) & ~stops & (kOnes * 0x80);
  std::uint64_t mantissa;
  unsigned decimals;
  const std::uint8_t* end;
  if (stop != 0) [[likely]] {
    const unsigned size = static_cast<unsigned>(__builtin_ctzll(stop)) / 8;
    end = at + size;
    if (size == 0 || !read_sized(at, size, mantissa, decimals) || (*at == '0' && is_digit(at[1])))
        [[unlikely]] {
      return nullptr;
    }
  } else {
    end = read_short(at, mantissa, decimals);
    if (end == nullptr || mantissa >= kDigits15) [[unlikely]] {
      return nullptr;
    }
  }
  const int places = static_cast<int>(decimals) + step.op->exponent;
  if (places > 22) [[unlikely]] {
    return nullptr;
  }
  record.values[step.op->to] = static_cast<double>(mantissa) / kPowers[places];
  return end;
}

/// Read a whole number of up to 16 digits, or a time in such, into its member; null where it is not one.
[[gnu::always_inline]] inline const std::uint8_t* put_whole(const MoldStep& step, const std::uint8_t* at,
                                                            Record& record) noexcept {
  unsigned size = digit_run(load8(at));
  size += size == 8 ? digit_run(load8(at + 8)) : 0;
  std::int64_t value;
  if (size == 0 || !read_whole(at, size, value) || (*at == '0' && size != 1) ||
      __builtin_mul_overflow(value, step.op->unit_ns, &value) ||
      __builtin_add_overflow(value, step.op->add, &value) || value == kAbsentInt) [[unlikely]] {
    return nullptr;
  }
  record.*kIntegers[step.op->to] = value;
  return at + size;
}

}  // namespace

bool Mold::decides(const Layout& from) const noexcept {
  const auto decided = [&](const Condition& condition, std::uint16_t slot) {
    int places = 0;
    for (const MoldStep& step : steps) {
      if (step.what == MoldStep::What::nothing) {
        continue;
      }
      if (step.node != kNone && slot >= from.nodes[step.node].slot && slot < from.nodes[step.node].end) {
        return false;
      }
      if (step.slot == slot) {
        const bool there = step.what == MoldStep::What::text || step.what == MoldStep::What::number;
        if (step.what != MoldStep::What::constant && (!there || condition.how == Condition::How::equals)) {
          return false;
        }
        ++places;
      }
    }
    return places <= 1;
  };
  for (const MessageLayout& one : from.layouts) {
    for (const Condition& condition : one.when) {
      for (const std::uint16_t slot : condition.slots) {
        if (condition.depth == 0 && !decided(condition, slot)) {
          return false;
        }
      }
    }
  }
  return true;
}

void Mold::aim(const Layout& from) {
  const MessageLayout& target = from.layouts[layout];
  if (target.control || target.merge || target.chain.size() > 1) {
    return;
  }
  direct = true;
  const auto read_elsewhere = [&](std::uint16_t slot) {
    const auto is = [slot](std::uint16_t one) { return one == slot; };
    const auto in = [&](const Condition& one) { return std::any_of(one.slots.begin(), one.slots.end(), is); };
    return std::count_if(target.ops.begin(), target.ops.end(), [&](const Op& op) { return is(op.slot); }) >
               1 ||
           std::any_of(target.key_slots.begin(), target.key_slots.end(), is) || is(target.aggressor) ||
           std::any_of(target.snapshot_when.begin(), target.snapshot_when.end(), in) ||
           std::any_of(target.tables.begin(), target.tables.end(),
                       [&](const Table& table) { return is(table.slot); }) ||
           std::any_of(target.rows.begin(), target.rows.end(),
                       [&](const Row& row) { return is(row.price) || is(row.quantity) || is(row.orders); });
  };
  for (const Op& op : target.ops) {
    const auto reads = [&](const MoldStep& step) {
      return step.slot == op.slot && step.what != MoldStep::What::nothing;
    };
    const auto step = std::find_if(steps.begin(), steps.end(), reads);
    const bool one = step != steps.end() && std::find_if(step + 1, steps.end(), reads) == steps.end();
    const bool text = one && step->what == MoldStep::What::text;
    if (!one || (!text && step->what != MoldStep::What::number) || !op.absent.empty() ||
        read_elsewhere(op.slot) || (op.how == OpHow::rfc3339 && !text)) {
      rest.push_back(&op);
      continue;
    }
    step->what = op.how == OpHow::slot      ? MoldStep::What::decimal
                 : op.how == OpHow::rfc3339 ? MoldStep::What::moment
                                            : MoldStep::What::whole;
    step->op = &op;
    step->stop = (step[1].word & 0xFF) * 0x0101010101010101u;
    bits |= op.bit;
  }
  for (MoldStep& step : steps) {
    if (step.slot == from.slots && step.node == kNone) {
      step.what = step.what == MoldStep::What::text    ? MoldStep::What::passed
                  : step.what == MoldStep::What::other ? MoldStep::What::repeated
                                                       : step.what;
    }
  }
}

void Molds::misfit(Mold& mold) {
  if (++mold.misfits > kProven + mold.hits / 4) {
    all.erase(all.begin() + (&mold - all.data()));
  }
}

void Molds::keep(Mold mold) {
  if (all.size() < kMost) {
    all.push_back(std::move(mold));
    return;
  }
  const auto least = std::min_element(
      all.begin(), all.end(), [](const Mold& one, const Mold& other) { return one.hits < other.hits; });
  *least = std::move(mold);
  for (Mold& one : all) {
    one.hits /= 2;
  }
}

/// Read a value that is not a common one, whatever it goes to; null where it is none of its kind.
const std::uint8_t* JsonScanner::put_long(const MoldStep& step, const std::uint8_t* at, Record& record) {
  const bool quoted = (step.stop & 0xFF) == '"';
  bool escaped = false;
  const std::uint8_t* const end = quoted                        ? text_end(at, escaped)
                                  : is_digit(*at) || *at == '-' ? number_end(at)
                                                                : nullptr;
  if (end == nullptr || end == at || escaped) {
    return nullptr;
  }
  const Type type = quoted ? Type::text : Type::number;
  const Capture capture{at, static_cast<std::uint32_t>(end - at)};
  const Op& op = *step.op;
  if (op.how == OpHow::slot) {
    return to_number(type, capture, op.exponent, scratch_, record.values[op.to]) ? end : nullptr;
  }
  std::int64_t value = 0;
  const bool good = op.how == OpHow::integer ? to_integer(type, capture, scratch_, value)
                                             : to_time(type, capture, op.unit_ns, scratch_, day_, value);
  if (!good || __builtin_add_overflow(value, op.add, &value) || value == kAbsentInt) {
    return nullptr;
  }
  record.*kIntegers[op.to] = value;
  return end;
}

const std::uint8_t* JsonScanner::fit(Mold& mold, std::uint16_t node, const std::uint8_t* at, unsigned depth,
                                     Record& record) {
  Type* const types = found_.types.data();
  Capture* const captures = found_.captures.data();
  const std::uint8_t* const begin = at;
  for (MoldStep& step : mold.steps) {
    if (((load8(at) ^ step.word) & step.mask) != 0) {
      return nullptr;
    }
    const std::uint8_t* const value_at = at + step.size;
    switch (step.what) {
      case MoldStep::What::text: {
        types[step.slot] = Type::text;  // the next step begins with its quote
        if (step.changes < MoldStep::kUnsteady && ends_after(value_at, step.length)) {
          captures[step.slot] = {value_at, step.length};
          at = value_at + step.length;
          break;
        }
        at = value_at;
        unsigned run;
        do {
          run = plain_run(at);
          at += run;
        } while (run == kRun);
        captures[step.slot] = {value_at, static_cast<std::uint32_t>(at - value_at)};
        step.remember(captures[step.slot].size);
        break;
      }
      case MoldStep::What::number:
        types[step.slot] = Type::number;
        if (step.changes < MoldStep::kUnsteady && step.length != 0 && plain_number(value_at) == step.length) {
          captures[step.slot] = {value_at, step.length};
          at = value_at + step.length;
          break;
        }
        at = is_digit(*value_at) || *value_at == '-' ? number_end(value_at) : nullptr;
        if (at == nullptr) [[unlikely]] {
          return nullptr;
        }
        captures[step.slot] = {value_at, static_cast<std::uint32_t>(at - value_at)};
        step.remember(captures[step.slot].size);
        break;
      case MoldStep::What::passed:
        if (step.changes < MoldStep::kUnsteady && ends_after(value_at, step.length)) {
          at = value_at + step.length;
          break;
        }
        at = value_at;
        for (unsigned run = kRun; run == kRun; at += run) {
          run = plain_run(at);
        }
        step.remember(static_cast<std::uint32_t>(at - value_at));
        break;
      case MoldStep::What::repeated:
        if (step.repeats(value_at)) [[likely]] {
          at = value_at + step.length;
          break;
        }
        at = leaf(value_at, types[step.slot], captures[step.slot], depth + 1);
        if (at != nullptr) {
          step.repeat(value_at, static_cast<std::size_t>(at - value_at));
        }
        break;
      case MoldStep::What::decimal:
        if (at = put_decimal(step, value_at, record); at == nullptr) [[unlikely]] {
          at = put_long(step, value_at, record);
        }
        break;
      case MoldStep::What::whole:
        if (at = put_whole(step, value_at, record); at == nullptr) [[unlikely]] {
          at = put_long(step, value_at, record);
        }
        break;
      case MoldStep::What::moment: {
        std::int64_t time;
        if (read_usual_time({value_at, kUsualTime}, day_, time) &&
            !__builtin_add_overflow(time, step.op->add, &time) && time != kAbsentInt) [[likely]] {
          record.*kIntegers[step.op->to] = time;
          at = value_at + kUsualTime;
        } else {
          at = put_long(step, value_at, record);
        }
        break;
      }
      case MoldStep::What::constant:
        types[step.slot] = Type::text;
        captures[step.slot] = {value_at - 1 - step.length, step.length};
        at = value_at;
        break;
      case MoldStep::What::other:
        at = step.node == kNone ? leaf(value_at, types[step.slot], captures[step.slot], depth + 1)
                                : value(step.node, value_at, depth + 1);
        break;
      case MoldStep::What::nothing:
        at = value_at;
        break;
    }
    if (at == nullptr) [[unlikely]] {
      return nullptr;
    }
  }
  const std::uint16_t slot = layout_.nodes[node].slot;
  types[slot] = Type::object;
  captures[slot] = {begin, static_cast<std::uint32_t>(at - begin)};
  return at;
}

Mold JsonScanner::mold_of(std::uint16_t node, const std::uint8_t* at, unsigned depth) {
  if (*at != '{' || layout_.nodes[node].key_count == 0) {
    return {};
  }
  Mold mold;
  const std::uint8_t* from = at;  // what no step has yet
  at = space(at + 1);
  for (;;) {
    const Found::Known* known;
    const std::uint8_t* const value_at = member(node, at, known);
    if (value_at == nullptr || mold.steps.size() > kMostSteps) {
      return {};
    }
    bool escaped = false;
    const std::uint8_t* const end =
        *value_at == '"' ? text_end(value_at + 1, escaped) : skip(value_at, depth + 1);
    if (end == nullptr || escaped) {
      return {};
    }
    if (known->node() == kNone && *value_at == '"') {
      const auto size = static_cast<std::size_t>(end - value_at - 1);
      if (known->key != kNone && size <= kMostConstant && tells_kinds(layout_, known->slot)) {
        MoldStep& step = put_bytes(mold, from, end + 1);
        step.what = MoldStep::What::constant;
        step.length = static_cast<std::uint8_t>(size);
        step.slot = known->slot;
        from = end + 1;
      } else {
        MoldStep& step = put_bytes(mold, from, value_at + 1);
        step.what = MoldStep::What::text;
        step.slot = known->slot;
        from = end;
      }
      at = end + 1;
    } else {
      MoldStep& step = put_bytes(mold, from, value_at);
      const bool number = known->node() == kNone && (is_digit(*value_at) || *value_at == '-');
      step.what = number ? MoldStep::What::number : MoldStep::What::other;
      step.slot = known->slot;
      step.node = known->node();
      at = *value_at == '"' ? end + 1 : end;
      from = at;
    }
    at = space(at);
    if (*at != ',') {
      if (*at != '}') {
        return {};
      }
      put_bytes(mold, from, at + 1);
      return mold;
    }
    at = space(at + 1);
  }
}

}  // namespace dragoman::json

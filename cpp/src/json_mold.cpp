#include "dragoman/json_mold.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "json_scan.hpp"

namespace dragoman::json {
namespace {

constexpr std::size_t kMostSteps = 64;
constexpr std::size_t kStepBytes = 16;

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
    std::memcpy(step.words, from, step.size);
    std::memset(step.masks, 0xFF, step.size);
    mold.steps.push_back(step);
    from += step.size;
  } while (from != end);
  return mold.steps.back();
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

void Molds::keep(Mold mold) {
  if (all.size() < kMost) {
    all.push_back(std::move(mold));
    return;
  }
  const auto least = std::min_element(all.begin(), all.end(),
                                      [](const Mold& one, const Mold& other) { return one.hits < other.hits; });
  *least = std::move(mold);
  for (Mold& one : all) {
    one.hits /= 2;
  }
}

const std::uint8_t* JsonScanner::fit(Mold& mold, std::uint16_t node, const std::uint8_t* at,
                                     unsigned depth) {
  Type* const types = found_.types.data();
  Capture* const captures = found_.captures.data();
  const std::uint8_t* const begin = at;
  for (MoldStep& step : mold.steps) {
    if ((((load8(at) ^ step.words[0]) & step.masks[0]) | ((load8(at + 8) ^ step.words[1]) & step.masks[1])) !=
        0) {
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
        if (step.changes < MoldStep::kUnsteady && step.length != 0 &&
            plain_number(value_at) == step.length) {
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
      case MoldStep::What::constant:
        types[step.slot] = Type::text;
        captures[step.slot] = {at + step.from, step.length};
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
    if (known->node == kNone && *value_at == '"') {
      const auto size = static_cast<std::size_t>(end - value_at - 1);
      const auto lead = static_cast<std::size_t>(value_at + 1 - from);
      if (known->key != kNone && size < kStepBytes && tells_kinds(layout_, known->slot)) {
        if (lead + size + 1 > kStepBytes) {  // the value in a step of its own
          put_bytes(mold, from, value_at + 1);
          from = value_at + 1;
        }
        MoldStep& step = put_bytes(mold, from, end + 1);
        step.what = MoldStep::What::constant;
        step.from = static_cast<std::uint8_t>(value_at + 1 - from);
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
      const bool number = known->node == kNone && (is_digit(*value_at) || *value_at == '-');
      step.what = number ? MoldStep::What::number : MoldStep::What::other;
      step.slot = known->slot;
      step.node = known->node;
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

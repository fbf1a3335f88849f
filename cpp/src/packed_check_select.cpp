#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <tuple>

#include "packed_check.hpp"

namespace dragoman::packed {
namespace {

/// Return the table of candidates that one byte tells apart, null where it takes more than that.
std::unique_ptr<const Fork> fork_of(const std::vector<Packet>& packets,
                                    const std::vector<std::int16_t>& candidates) {
  auto fork = std::make_unique<Fork>();
  bool placed = false;
  for (const std::int16_t index : candidates) {
    const Packet& packet = packets[static_cast<std::size_t>(index)];
    if (!packet.simple) {
      return nullptr;
    }
    if (!packet.has_when) {
      continue;
    }
    const Load& part = packet.when;
    const bool whole_byte = part.wire == Wire::u8 && part.shift == 0 && (part.mask & 0xFF) == 0xFF;
    if (!whole_byte || (placed && part.offset != fork->offset)) {
      return nullptr;
    }
    fork->offset = part.offset;
    placed = true;
  }
  for (std::size_t byte = 0; byte < fork->by_byte.size(); ++byte) {
    for (const std::int16_t index : candidates) {
      const Packet& packet = packets[static_cast<std::size_t>(index)];
      const auto& values = packet.when_values;
      if (!packet.has_when || std::find(values.begin(), values.end(), byte) != values.end()) {
        fork->by_byte[byte] = &packet;
        break;
      }
    }
  }
  return fork;
}

/// Chain the layouts of one selector value, those with a condition first, and refuse what could match
/// twice.
void link(std::vector<Packet>& packets, std::vector<std::int16_t>& candidates, const Place& stream) {
  const auto packet = [&](std::int16_t index) -> Packet& { return packets[static_cast<std::size_t>(index)]; };
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](std::int16_t a, std::int16_t b) { return packet(a).has_when && !packet(b).has_when; });
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const Packet& one = packet(candidates[i]);
    const Place place = stream.in("layout", one.name);
    for (std::size_t j = 0; j < i; ++j) {
      const Packet& other = packet(candidates[j]);
      if (!one.has_when && !other.has_when) {
        place.fail("the selector of layout '" + other.name + "'",
                   "another, or a `when` that tells them apart");
      }
      const auto where = [](const Load& part) {
        return std::tuple(part.offset, part.wire, part.shift, part.mask);
      };
      if (!one.has_when || !other.has_when || where(one.when) != where(other.when)) {
        continue;
      }
      for (const std::uint64_t value : one.when_values) {
        if (std::find(other.when_values.begin(), other.when_values.end(), value) != other.when_values.end()) {
          place.fail("`when` value " + std::to_string(value) + " of layout '" + other.name + "' too",
                     "values that only one of them has");
        }
      }
    }
    if (i > 0) {
      packet(candidates[i - 1]).next = candidates[i];
    }
  }
}

}  // namespace

int Selector::find(std::uint64_t value) const noexcept {
  if (value < direct.size()) {
    if (direct[value] >= 0) {
      return direct[value];
    }
  } else if (!others.empty()) {
    const auto found =
        std::lower_bound(others.begin(), others.end(), value,
                         [](const auto& entry, std::uint64_t wanted) { return entry.first < wanted; });
    if (found != others.end() && found->first == value) {
      return found->second;
    }
  }
  for (const auto& [size, index] : growing) {
    if (size <= value) {
      return index;
    }
  }
  return -1;
}

void compile_selector(const StreamSpec& spec, Layout& out, const Place& stream) {
  std::map<std::uint64_t, std::vector<std::int16_t>> exact;
  std::map<std::uint64_t, std::vector<std::int16_t>, std::greater<>> growing;
  for (std::size_t i = 0; i < out.packets.size(); ++i) {
    const PacketSpec& packet = spec.layouts[i];
    const Place place = stream.in("layout", packet.name);
    const auto index = static_cast<std::int16_t>(i);
    if (out.select.by_length) {
      if (packet.code) {
        place.fail("code " + std::to_string(*packet.code), "none: the stream selects by length");
      }
      (packet.grows ? growing[out.packets[i].size] : exact[out.packets[i].size]).push_back(index);
    } else {
      if (!packet.code) {
        place.fail("no code", "the value that selects it");
      }
      exact[compile_condition(*packet.code, out.select.code, place.in("code"))].push_back(index);
    }
  }
  for (auto& [value, candidates] : exact) {
    link(out.packets, candidates, stream);
    if (value < out.select.direct.size()) {
      out.select.direct[value] = candidates.front();
      const Packet& first = out.packets[static_cast<std::size_t>(candidates.front())];
      if (first.simple && !first.has_when) {
        out.select.quick[value] = &first;
      } else {
        out.select.forks[value] = fork_of(out.packets, candidates);
      }
    } else {
      out.select.others.emplace_back(value, candidates.front());
    }
  }
  for (auto& [size, candidates] : growing) {
    link(out.packets, candidates, stream);
    if (!out.select.growing.empty()) {
      std::int16_t last = out.select.growing.back().second;
      while (out.packets[static_cast<std::size_t>(last)].next >= 0) {
        last = out.packets[static_cast<std::size_t>(last)].next;
      }
      out.packets[static_cast<std::size_t>(last)].next = candidates.front();
    }
    out.select.growing.emplace_back(size, candidates.front());
  }
}

}  // namespace dragoman::packed

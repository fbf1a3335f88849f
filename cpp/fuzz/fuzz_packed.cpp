// Invariant: any bytes decode to consistent records inside the reserved block, or are counted; nothing else
// happens. Levels that are read later are those that are read at once.
// What an input is, and how a target runs: target.hpp.

#include <cstring>
#include <memory>
#include <vector>

#include "dragoman/packed_decoder.hpp"
#include "sample_streams.hpp"
#include "target.hpp"

namespace {

using namespace dragoman;

const std::vector<std::shared_ptr<const packed::Layout>>& layouts() {
  static const std::vector<std::shared_ptr<const packed::Layout>> all{packed::compile(samples::by_length()),
                                                                      packed::compile(samples::by_code()),
                                                                      packed::compile(samples::by_topic())};
  return all;
}

template <class T>
bool same(const T* one, const T* other, std::size_t count) {
  return count == 0 || std::memcmp(one, other, count * sizeof(T)) == 0;
}

}  // namespace

void run_one(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return;
  }
  const auto& layout = layouts()[data[0] % layouts().size()];
  packed::Decoder decoder(layout);
  packed::Decoder later(layout);
  for (packed::Decoder* const one : {&decoder, &later}) {
    one->bind(1, 0);
    one->bind_text("sf|a", 1);
  }
  Block block;
  Block left;
  std::uint64_t records = 0;
  each_frame(data, size, [&](const std::uint8_t* frame, std::size_t length) {
    decoder.decode(frame, length, 1, block);
    check_block(block, layout->packets.size(), length);
    records += block.view.record_count;
    later.decode_heads(frame, length, 1, left);
    left.read_levels();
    const BatchView& view = left.view;
    REQUIRE(view.record_count == block.view.record_count && view.level_count == block.view.level_count);
    REQUIRE(same(view.records, block.view.records, view.record_count));
    REQUIRE(same(view.levels, block.view.levels, view.level_count));
  });
  REQUIRE(decoder.counters().records == records);
}

std::vector<std::uint8_t> generate(Dice& dice) {
  const auto next = [&dice](std::uint64_t below) { return dice.below(below); };
  const auto stream = static_cast<std::uint8_t>(next(3));
  std::vector<std::uint8_t> out{stream};
  for (std::uint64_t frames = 1 + next(6); frames != 0; --frames) {
    std::vector<std::uint8_t> frame;
    const auto put = [&frame](std::uint64_t value, int bytes, bool big) {
      for (int i = 0; i < bytes; ++i) {
        frame.push_back(static_cast<std::uint8_t>(value >> 8 * (big ? bytes - 1 - i : i)));
      }
    };
    const auto noise = [&](std::uint64_t count) {
      const std::uint64_t kind = next(4);
      for (; count != 0; --count) {
        frame.push_back(static_cast<std::uint8_t>(kind == 0 ? 0 : kind == 1 ? 0xFF : next(256)));
      }
    };
    const std::uint64_t packets = next(5);
    if (stream == 0) {
      put(next(8) == 0 ? next(65536) : packets, 2, true);
      const std::uint64_t length = next(2) == 0 ? 8 : 64;
      for (std::uint64_t i = 0; i < packets; ++i) {
        const std::uint64_t own = next(6) == 0 ? next(80) : length;
        put(own, 2, true);
        noise(own);
      }
    } else if (stream == 1) {
      constexpr std::uint8_t kCodes[] = {2, 5, 6, 41, 42, 7, 50, 99};
      constexpr std::uint64_t kSizes[] = {16, 12, 72, 44, 46, 8, 10, 9};
      for (std::uint64_t i = 0; i < packets; ++i) {
        const std::uint64_t which = next(8);
        const std::uint64_t own = next(6) == 0 ? next(90) : kSizes[which];
        put(kCodes[which], 1, false);
        put(own, 2, false);
        const std::size_t head = frame.size();
        noise(own > 3 ? own - 3 : 0);
        if (which == 4 && frame.size() > head + 11) {
          frame[head] = static_cast<std::uint8_t>(next(9));
          frame[head + 9] = static_cast<std::uint8_t>(next(4));
          frame[head + 10] = 0;
        }
        if (which == 2 && frame.size() > head + 65) {
          std::memcpy(&frame[head], "123     ", 8);
          frame[head + 61] = static_cast<std::uint8_t>(next(20));
        }
      }
    } else {
      put(0, 2, true);
      put(next(9) == 0 ? next(256) : 6, 1, true);
      put(next(1000), 4, true);
      put(next(8) == 0 ? next(65536) : packets, 2, true);
      for (std::uint64_t i = 0; i < packets; ++i) {
        const std::uint64_t kind = next(3);
        put(kind == 0 ? 0x53 : kind == 1 ? 0x55 : 0x4C, 1, true);
        put(next(4), 2, true);
        if (kind == 0) {
          constexpr const char* kNames[] = {"sf|a", "dp|b", "xx|c"};
          const char* const name = kNames[next(3)];
          put(4, 1, true);
          frame.insert(frame.end(), name, name + 4);
        }
        if (kind == 2) {
          noise(4);
          continue;
        }
        const std::uint64_t values = next(16);
        put(values, 1, true);
        for (std::uint64_t j = 0; j < values; ++j) {
          put(next(4) == 0 ? 0x80000000u : next(3) == 0 ? 0 : next(1u << 20), 4, true);
        }
        if (kind == 0) {
          put(0, 2, true);
          put(next(8) == 0 ? 0 : 1 + next(100), 2, true);
          put(next(20), 1, true);
          for (int j = 0; j < 3; ++j) {
            const std::uint64_t text = next(4);
            put(text, 1, true);
            noise(text);
          }
        }
      }
    }
    if (next(4) == 0 && !frame.empty()) {
      frame.resize(next(frame.size()));
    }
    if (next(4) == 0 && !frame.empty()) {
      frame[next(frame.size())] ^= static_cast<std::uint8_t>(1u << next(8));
    }
    put_frame(out, frame);
  }
  return out;
}

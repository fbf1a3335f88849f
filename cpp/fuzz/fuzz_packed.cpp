// Invariant: any bytes decode to consistent records inside the reserved block, or are counted; nothing else
// happens.
//
// The first byte chooses the stream; after it come frames, each behind two bytes of length, decoded in turn
// by one decoder, so that what a decoder remembers is under attack too. Built with clang this is a libFuzzer
// target; otherwise a program that runs the files it is given, or so many generated inputs: fuzz_packed
// --random SEED COUNT.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "dragoman/packed_decoder.hpp"
#include "sample_streams.hpp"

namespace {

using namespace dragoman;

#define REQUIRE(condition)                                                         \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)

const std::vector<std::shared_ptr<const packed::Layout>>& layouts() {
  static const std::vector<std::shared_ptr<const packed::Layout>> all{packed::compile(samples::by_length()),
                                                                      packed::compile(samples::by_code()),
                                                                      packed::compile(samples::by_topic())};
  return all;
}

void check_record(const Record& record, const BatchView& view, const packed::Layout& layout,
                  std::size_t size) {
  REQUIRE(record.layout < layout.packets.size());
  REQUIRE(record.source <= size);
  REQUIRE((record.changed & ~record.present) == 0);
  REQUIRE((record.present >> kSlots) <= 15);
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    REQUIRE(((record.present >> slot & 1u) != 0) == std::isfinite(record.values[slot]));
  }
  const std::int64_t integers[] = {record.ts_event, record.last_trade_time, record.sequence,
                                   record.prev_sequence};
  for (std::size_t i = 0; i < std::size(integers); ++i) {
    REQUIRE(((record.present >> (kSlots + i) & 1u) != 0) == (integers[i] != kAbsentInt));
  }
  REQUIRE(record.level_count == 0 ||
          record.level_begin + std::size_t{record.level_count} <= view.level_count);
}

void run_one(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return;
  }
  const auto& layout = layouts()[data[0] % layouts().size()];
  packed::Decoder decoder(layout);
  decoder.bind(1, 0);
  decoder.bind_text("sf|a", 1);
  Block block;
  std::uint64_t records = 0;
  for (std::size_t at = 1; at + 2 <= size;) {
    const std::size_t length = std::min<std::size_t>(data[at] + 256u * data[at + 1], size - at - 2);
    // An exact copy on the heap, so that a read past the frame is a read the sanitizer sees.
    const auto frame = std::make_unique<std::uint8_t[]>(length);
    std::memcpy(frame.get(), data + at + 2, length);
    decoder.decode(frame.get(), length, 1, block);
    at += 2 + length;
    const BatchView& view = block.view;
    records += view.record_count;
    for (std::size_t i = 0; i < view.record_count; ++i) {
      check_record(view.records[i], view, *layout, length);
    }
    for (std::size_t i = 0; i < view.level_count; ++i) {
      REQUIRE(std::isfinite(view.levels[i].price) && std::isfinite(view.levels[i].quantity));
      REQUIRE(view.levels[i].side <= Side::ask && view.levels[i].action <= Action::clear);
    }
    for (const ByteRange& range : block.control) {
      REQUIRE(range.begin <= range.end && range.end <= length);
    }
  }
  REQUIRE(decoder.counters().records == records);
}

}  // namespace

#ifdef DRAGOMAN_LIBFUZZER

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  run_one(data, size);
  return 0;
}

#else

namespace {

/// Bytes that look enough like frames to get past the first checks.
std::vector<std::uint8_t> generate(std::uint64_t& state) {
  const auto next = [&state](std::uint64_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
  };
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
    out.push_back(static_cast<std::uint8_t>(frame.size()));
    out.push_back(static_cast<std::uint8_t>(frame.size() >> 8));
    out.insert(out.end(), frame.begin(), frame.end());
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "--random") {
    std::uint64_t state = std::strtoull(argv[2], nullptr, 10) * 2 + 1;
    const std::uint64_t count = std::strtoull(argv[3], nullptr, 10);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::vector<std::uint8_t> input = generate(state);
      run_one(input.data(), input.size());
    }
    std::printf("%s inputs of seed %s\n", argv[3], argv[2]);
    return EXIT_SUCCESS;
  }
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "%s: cannot be read\n", argv[i]);
      return EXIT_FAILURE;
    }
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    run_one(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }
  std::printf("%d files\n", argc - 1);
  return EXIT_SUCCESS;
}

#endif

/// What every fuzz target shares: its input, what must hold of each record, and its way to run.
///
/// The first byte of an input chooses the stream; after it come frames, each behind two bytes of length,
/// decoded in turn by one decoder, so that what a decoder remembers is under attack too. Built with clang a
/// target is a libFuzzer target; otherwise a program that runs the files it is given, or so many generated
/// inputs: fuzz_json --random SEED COUNT.
///
/// A target includes this once and defines `run_one` and `generate`.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "dragoman/batch.hpp"
#include "dragoman/record.hpp"

#define REQUIRE(condition)                                                         \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)

/// Where generated inputs come from: the same for the same seed.
struct Dice {
  std::uint64_t state;

  std::uint64_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }

  std::uint64_t below(std::uint64_t limit) { return next() % limit; }
};

/// Runs an input; aborts where something that must hold does not.
void run_one(const std::uint8_t* data, std::size_t size);

/// Makes an input that looks enough like messages to get past the first checks.
std::vector<std::uint8_t> generate(Dice& dice);

/// Calls `take(frame, length)` for each frame of an input. Each is a copy of exactly its size on the heap, so
/// that a sanitizer sees the first byte read beyond it.
template <typename Take>
void each_frame(const std::uint8_t* data, std::size_t size, Take take) {
  for (std::size_t at = 1; at + 2 <= size;) {
    const std::size_t length = std::min<std::size_t>(data[at] + 256u * data[at + 1], size - at - 2);
    const auto frame = std::make_unique<std::uint8_t[]>(length);
    std::memcpy(frame.get(), data + at + 2, length);
    take(static_cast<const std::uint8_t*>(frame.get()), length);
    at += 2 + length;
  }
}

/// Appends a frame (anything with size, begin and end) to an input.
template <typename Frame>
void put_frame(std::vector<std::uint8_t>& input, const Frame& frame) {
  input.push_back(static_cast<std::uint8_t>(frame.size()));
  input.push_back(static_cast<std::uint8_t>(frame.size() >> 8));
  input.insert(input.end(), frame.begin(), frame.end());
}

/// What holds of everything a frame of `size` bytes was decoded to, by one of `layouts` layouts.
inline void check_block(const dragoman::Block& block, std::size_t layouts, std::size_t size) {
  using namespace dragoman;
  const BatchView& view = block.view;
  for (std::size_t at = 0; at < view.record_count; ++at) {
    const Record& record = view.records[at];
    REQUIRE(record.layout < layouts);
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
  for (std::size_t i = 0; i < view.level_count; ++i) {
    REQUIRE(std::isfinite(view.levels[i].price) && std::isfinite(view.levels[i].quantity));
    REQUIRE(view.levels[i].side <= Side::ask && view.levels[i].action <= Action::clear);
  }
  for (const ByteRange& range : block.control) {
    REQUIRE(range.begin <= range.end && range.end <= size);
  }
}

#ifdef DRAGOMAN_LIBFUZZER

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  run_one(data, size);
  return 0;
}

#else

int main(int count, char** arguments) {
  if (count == 4 && std::strcmp(arguments[1], "--random") == 0) {
    Dice dice{std::strtoull(arguments[2], nullptr, 10) * 2 + 1};
    const std::uint64_t runs = std::strtoull(arguments[3], nullptr, 10);
    for (std::uint64_t i = 0; i < runs; ++i) {
      const std::vector<std::uint8_t> input = generate(dice);
      run_one(input.data(), input.size());
    }
    std::printf("%s inputs of seed %s\n", arguments[3], arguments[2]);
    return EXIT_SUCCESS;
  }
  for (int i = 1; i < count; ++i) {
    std::ifstream file(arguments[i], std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "%s: cannot be read\n", arguments[i]);
      return EXIT_FAILURE;
    }
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    run_one(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }
  std::printf("%d files\n", count - 1);
  return EXIT_SUCCESS;
}

#endif

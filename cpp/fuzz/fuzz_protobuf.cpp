// Invariant: any bytes decode to consistent records inside the reserved block, or are counted; nothing of a
// broken message is delivered.
//
// The first byte chooses the stream; after it come frames, each behind two bytes of length, decoded in turn
// by one decoder, so that what a decoder remembers is under attack too. Built with clang this is a libFuzzer
// target; otherwise a program that runs the files it is given, or so many generated inputs: fuzz_protobuf
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

#include "dragoman/protobuf_decoder.hpp"
#include "sample_messages.hpp"

namespace {

using namespace dragoman;

#define REQUIRE(condition)                                                         \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)

const std::vector<std::shared_ptr<const protobuf::Layout>>& layouts() {
  static const std::vector<std::shared_ptr<const protobuf::Layout>> all{
      protobuf::compile(samples::by_map()), protobuf::compile(samples::by_root()),
      protobuf::compile(samples::by_lists())};
  return all;
}

void check_record(const Record& record, const BatchView& view, const protobuf::Layout& layout,
                  std::size_t size) {
  REQUIRE(record.layout < layout.shapes.size());
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
  REQUIRE(record.level_begin + std::size_t{record.level_count} <= view.level_count);
}

void run_one(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return;
  }
  const auto& layout = layouts()[data[0] % layouts().size()];
  protobuf::Decoder decoder(layout);
  decoder.bind(7, 1);
  decoder.bind_text("a", 2);
  Block block;
  std::size_t at = 1;
  while (size - at >= 2) {
    const std::size_t length = std::min<std::size_t>(data[at] | data[at + 1] << 8, size - at - 2);
    at += 2;
    const std::vector<std::uint8_t> frame(data + at,
                                          data + at + length);  // its own bytes: one too many shows
    at += length;
    const Counters before = decoder.counters();
    decoder.decode(frame.data(), frame.size(), 1, block);
    const Counters& after = decoder.counters();
    const BatchView& view = block.view;
    const bool broken = after.truncated + after.malformed != before.truncated + before.malformed;
    REQUIRE(!broken || (view.record_count == 0 && view.errors == 1 && block.control.empty() &&
                        after.records == before.records));
    REQUIRE(view.record_count <= block.record_capacity() && view.level_count <= block.level_capacity());
    REQUIRE(after.records - before.records == view.record_count);
    REQUIRE(block.record_capacity() <= std::max<std::size_t>(64, 4 * length));
    for (std::size_t i = 0; i < view.record_count; ++i) {
      check_record(view.records[i], view, *layout, frame.size());
    }
    for (std::size_t i = 0; i < view.level_count; ++i) {
      REQUIRE(std::isfinite(view.levels[i].price) && std::isfinite(view.levels[i].quantity));
    }
    for (const ByteRange& range : block.control) {
      REQUIRE(range.begin <= range.end && range.end <= frame.size());
    }
  }
}

}  // namespace

#ifdef DRAGOMAN_LIBFUZZER

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  run_one(data, size);
  return 0;
}

#else

namespace {

std::uint64_t next(std::uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

/// A message with the field numbers that the streams know, nested at random, and some that they do not.
void fields(std::uint64_t& state, int depth, std::vector<std::uint8_t>& out) {
  for (std::uint64_t left = next(state) % 5; left != 0; --left) {
    const auto number = static_cast<std::uint8_t>(1 + next(state) % 9);
    const std::uint64_t roll = next(state) % 16;
    const std::uint8_t wire = roll == 0               ? static_cast<std::uint8_t>(next(state) % 8)
                              : depth > 0 && roll < 9 ? 2
                              : roll < 12             ? 0
                              : roll < 15             ? 1
                                                      : 5;
    out.push_back(static_cast<std::uint8_t>(number << 3 | wire));
    std::vector<std::uint8_t> body;
    if (wire == 2) {
      static const char* const kTexts[] = {"a", "1d", "12.50", "", "-3"};
      if (depth == 0 || next(state) % 4 == 0) {
        const char* const text = kTexts[next(state) % std::size(kTexts)];
        body.assign(text, text + std::strlen(text));
      } else {
        fields(state, depth - 1, body);
      }
      out.push_back(
          static_cast<std::uint8_t>(std::min<std::size_t>(body.size() + (next(state) % 64 == 0), 127)));
    } else if (wire == 0) {
      for (std::uint64_t more = next(state) % 3; more != 0; --more) {
        body.push_back(static_cast<std::uint8_t>(next(state) | 0x80));
      }
      body.push_back(static_cast<std::uint8_t>(next(state) & 0x7F));
    } else {
      const double value = static_cast<double>(static_cast<std::int64_t>(next(state) % 2000)) / 8.0;
      body.resize(wire == 5 ? 4 : 8);
      std::memcpy(body.data(), &value, body.size());
    }
    out.insert(out.end(), body.begin(), body.end());
  }
}

std::vector<std::uint8_t> generate(std::uint64_t& state) {
  std::vector<std::uint8_t> out{static_cast<std::uint8_t>(next(state))};
  for (std::uint64_t frames = 1 + next(state) % 4; frames != 0; --frames) {
    std::vector<std::uint8_t> frame;
    fields(state, 4, frame);
    if (!frame.empty() && next(state) % 8 == 0) {
      frame[next(state) % frame.size()] ^= static_cast<std::uint8_t>(1u << next(state) % 8);
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

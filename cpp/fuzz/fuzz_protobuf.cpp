// Invariant: any bytes decode to consistent records inside the reserved block, or are counted; nothing of a
// broken message is delivered.
// What an input is, and how a target runs: target.hpp.

#include <algorithm>
#include <cstring>
#include <iterator>
#include <memory>
#include <vector>

#include "dragoman/protobuf_decoder.hpp"
#include "sample_messages.hpp"
#include "target.hpp"

namespace {

using namespace dragoman;

const std::vector<std::shared_ptr<const protobuf::Layout>>& layouts() {
  static const std::vector<std::shared_ptr<const protobuf::Layout>> all{
      protobuf::compile(samples::by_map()), protobuf::compile(samples::by_root()),
      protobuf::compile(samples::by_lists())};
  return all;
}

}  // namespace

void run_one(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return;
  }
  const auto& layout = layouts()[data[0] % layouts().size()];
  protobuf::Decoder decoder(layout);
  decoder.bind(7, 1);
  decoder.bind_text("a", 2);
  Block block;
  each_frame(data, size, [&](const std::uint8_t* frame, std::size_t length) {
    const Counters before = decoder.counters();
    decoder.decode(frame, length, 1, block);
    const Counters& after = decoder.counters();
    const BatchView& view = block.view;
    const bool broken = after.truncated + after.malformed != before.truncated + before.malformed;
    REQUIRE(!broken || (view.record_count == 0 && view.errors == 1 && block.control.empty() &&
                        after.records == before.records));
    REQUIRE(view.record_count <= block.record_capacity() && view.level_count <= block.level_capacity());
    REQUIRE(after.records - before.records == view.record_count);
    REQUIRE(block.record_capacity() <= std::max<std::size_t>(64, 4 * length));
    check_block(block, layout->shapes.size(), length);
  });
}

namespace {

/// A message with the field numbers that the streams know, nested at random, and some that they do not.
void fields(Dice& dice, int depth, std::vector<std::uint8_t>& out) {
  for (std::uint64_t left = dice.below(5); left != 0; --left) {
    const auto number = static_cast<std::uint8_t>(1 + dice.below(9));
    const std::uint64_t roll = dice.below(16);
    const std::uint8_t wire = roll == 0               ? static_cast<std::uint8_t>(dice.below(8))
                              : depth > 0 && roll < 9 ? 2
                              : roll < 12             ? 0
                              : roll < 15             ? 1
                                                      : 5;
    out.push_back(static_cast<std::uint8_t>(number << 3 | wire));
    std::vector<std::uint8_t> body;
    if (wire == 2) {
      static const char* const kTexts[] = {"a", "1d", "12.50", "", "-3"};
      if (depth == 0 || dice.below(4) == 0) {
        const char* const text = kTexts[dice.below(std::size(kTexts))];
        body.assign(text, text + std::strlen(text));
      } else {
        fields(dice, depth - 1, body);
      }
      out.push_back(
          static_cast<std::uint8_t>(std::min<std::size_t>(body.size() + (dice.below(64) == 0), 127)));
    } else if (wire == 0) {
      for (std::uint64_t more = dice.below(3); more != 0; --more) {
        body.push_back(static_cast<std::uint8_t>(dice.next() | 0x80));
      }
      body.push_back(static_cast<std::uint8_t>(dice.next() & 0x7F));
    } else {
      const double value = static_cast<double>(static_cast<std::int64_t>(dice.below(2000))) / 8.0;
      body.resize(wire == 5 ? 4 : 8);
      std::memcpy(body.data(), &value, body.size());
    }
    out.insert(out.end(), body.begin(), body.end());
  }
}

}  // namespace

std::vector<std::uint8_t> generate(Dice& dice) {
  std::vector<std::uint8_t> out{static_cast<std::uint8_t>(dice.next())};
  for (std::uint64_t frames = 1 + dice.below(4); frames != 0; --frames) {
    std::vector<std::uint8_t> frame;
    fields(dice, 4, frame);
    if (!frame.empty() && dice.below(8) == 0) {
      frame[dice.below(frame.size())] ^= static_cast<std::uint8_t>(1u << dice.below(8));
    }
    put_frame(out, frame);
  }
  return out;
}

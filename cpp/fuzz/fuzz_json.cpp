// Invariant: any bytes decode to consistent records inside the block, or are counted; nothing else happens.
//
// The first byte chooses the stream; after it come frames, each behind two bytes of length, decoded in turn
// by one decoder, so that what a decoder remembers is under attack too. Built with clang this is a libFuzzer
// target; otherwise a program that runs the files it is given, or so many generated inputs: fuzz_json
// --random SEED COUNT. Generated inputs are messages of the stream with some bytes changed.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "dragoman/json_decoder.hpp"
#include "sample_json.hpp"

namespace {

using namespace dragoman;

#define REQUIRE(condition)                                                         \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)

const std::vector<std::shared_ptr<const json::Layout>>& layouts() {
  static const std::vector<std::shared_ptr<const json::Layout>> all{
      json::compile(samples::exchange()), json::compile(samples::positional()),
      json::compile(samples::nested()),   json::compile(samples::map_of_prices()),
      json::compile(samples::partial()),  json::compile(samples::packed())};
  return all;
}

void check_record(const Record& record, const BatchView& view, const json::Layout& layout, std::size_t size) {
  REQUIRE(record.layout < layout.layouts.size());
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
  json::Decoder decoder(layout);
  decoder.bind_text("A", 1);
  Block block;
  std::size_t at = 1;
  std::uint64_t records = 0;
  std::uint64_t frames = 0;
  while (at + 2 <= size) {
    const std::size_t promised = static_cast<std::size_t>(data[at]) | static_cast<std::size_t>(data[at + 1])
                                                                          << 8;
    at += 2;
    const std::size_t length = promised < size - at ? promised : size - at;
    // A copy of exactly that size, so that a sanitizer sees the first byte read beyond it.
    const std::vector<std::uint8_t> frame(data + at, data + at + length);
    at += length;
    decoder.decode(frame.data(), frame.size(), 77, block);
    const BatchView& view = block.view;
    for (std::size_t i = 0; i < view.record_count; ++i) {
      check_record(view.records[i], view, *layout, length);
    }
    for (std::size_t i = 0; i < view.level_count; ++i) {
      REQUIRE(std::isfinite(view.levels[i].price) && std::isfinite(view.levels[i].quantity));
    }
    for (const ByteRange& range : block.control) {
      REQUIRE(range.begin <= range.end && range.end <= length);
    }
    records += view.record_count;
    REQUIRE(decoder.counters().records == records);
    REQUIRE(decoder.counters().frames == ++frames);
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

struct Dice {
  std::uint64_t state;
  std::uint64_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }
  std::size_t below(std::size_t limit) { return static_cast<std::size_t>(next() % limit); }
};

std::string message_of(std::size_t stream, Dice& dice) {
  static constexpr char kPacked[] =
      "\x92\x85\xA1T\xA1t\xA1S\xA1"
      "A\xA1p\xCB\x40\x5F\xA3\x33\x33\x33\x33\x33\xA1s\x01\xA1t\xD7\xFF\x31\x97\x50\x00\x60\x33\xD3\x10"
      "\x83\xA1T\xA1o\xA1S\xA1"
      "A\xA1"
      "b\x91\x82\xA1p\x05\xA1s\xCA\x40\x00\x00\x00";
  static const std::vector<std::vector<std::string>> kMessages{
      {R"({"e":"depthUpdate","E":1626992741037,"s":"A","U":157,"u":160,"b":[["0.0024","10"],["1.50","0"]],"a":[["100.0","7.50","x"]]})",
       R"([{"e":"trade","s":"A","p":"1.5","q":2e3,"m":true},{"id":null},{"e":"snap","s":"\u0041","a":[[1,2]],"b":[["2","5"]]}])",
       "pong"},
      {R"([1234,{"a":[["5541.30","2.5","1"]]},{"b":[["5541.2","0"]],"c":"9"},"book-10","A"])"},
      {R"({"events":[{"type":"update","trades":[{"id":"A","p":"1"},{"id":"B","p":"2"}]}],"channel":"trades","n":7})",
       R"({"channel":"l2","events":[{"type":"snapshot","id":"A","updates":[{"side":"bid","price_level":"1.0","new_quantity":"2","orders":3},{"side":"offer","price_level":"9","new_quantity":"0"}]}]})"},
      {R"({"mids":{"A":"65000.5","B":3000,"X":{}}})"},
      {R"({"t":"tk","e":"NSE","tk":"22","lp":"100.5","v":"10","bp1":"100","bq1":"5","sp1":"101","sq1":"6"})",
       R"({"t":"tf","e":"NSE","tk":"22","v":"12","bq1":"7","sp2":null})"},
      {std::string(kPacked, sizeof kPacked - 1)}};
  const auto& messages = kMessages[stream];
  std::string message = messages[dice.below(messages.size())];
  for (std::size_t changes = dice.below(4); changes != 0 && !message.empty(); --changes) {
    const std::size_t at = dice.below(message.size());
    switch (dice.below(4)) {
      case 0:
        message[at] = static_cast<char>(dice.next());
        break;
      case 1:
        message.insert(at, 1, "\"\\{}[],:09-. eu"[dice.below(15)]);
        break;
      case 2:
        message.erase(at, 1 + dice.below(8));
        break;
      default:
        message.insert(at, message.substr(at, dice.below(32)));
        break;
    }
  }
  return message;
}

std::vector<std::uint8_t> generate(Dice& dice) {
  const std::size_t stream = dice.below(layouts().size());
  std::vector<std::uint8_t> data{static_cast<std::uint8_t>(stream)};
  for (std::size_t frames = 1 + dice.below(4); frames != 0; --frames) {
    const std::string message = message_of(stream, dice);
    data.push_back(static_cast<std::uint8_t>(message.size()));
    data.push_back(static_cast<std::uint8_t>(message.size() >> 8));
    data.insert(data.end(), message.begin(), message.end());
  }
  return data;
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 4 && std::strcmp(arguments[1], "--random") == 0) {
    Dice dice{std::strtoull(arguments[2], nullptr, 10) | 1};
    const std::uint64_t runs = std::strtoull(arguments[3], nullptr, 10);
    for (std::uint64_t i = 0; i < runs; ++i) {
      const std::vector<std::uint8_t> data = generate(dice);
      run_one(data.data(), data.size());
    }
    std::printf("%llu inputs\n", static_cast<unsigned long long>(runs));
    return 0;
  }
  for (int i = 1; i < count; ++i) {
    std::ifstream file(arguments[i], std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    run_one(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }
  return 0;
}

#endif

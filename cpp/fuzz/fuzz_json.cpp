// Invariant: any bytes decode to consistent records inside the block, or are counted; nothing else happens.
// What an input is, and how a target runs: target.hpp.

#include <memory>
#include <string>
#include <vector>

#include "dragoman/json_decoder.hpp"
#include "sample_json.hpp"
#include "target.hpp"

namespace {

using namespace dragoman;

const std::vector<std::shared_ptr<const json::Layout>>& layouts() {
  static const std::vector<std::shared_ptr<const json::Layout>> all{
      json::compile(samples::exchange()), json::compile(samples::positional()),
      json::compile(samples::nested()),   json::compile(samples::map_of_prices()),
      json::compile(samples::partial()),  json::compile(samples::packed())};
  return all;
}

}  // namespace

void run_one(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return;
  }
  const auto& layout = layouts()[data[0] % layouts().size()];
  json::Decoder decoder(layout);
  decoder.bind_text("A", 1);
  Block block;
  std::uint64_t records = 0;
  std::uint64_t frames = 0;
  each_frame(data, size, [&](const std::uint8_t* frame, std::size_t length) {
    decoder.decode(frame, length, 77, block);
    check_block(block, layout->layouts.size(), length);
    records += block.view.record_count;
    REQUIRE(decoder.counters().records == records);
    REQUIRE(decoder.counters().frames == ++frames);
  });
}

namespace {

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
  for (std::uint64_t changes = dice.below(4); changes != 0 && !message.empty(); --changes) {
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

}  // namespace

std::vector<std::uint8_t> generate(Dice& dice) {
  const std::size_t stream = dice.below(layouts().size());
  std::vector<std::uint8_t> data{static_cast<std::uint8_t>(stream)};
  for (std::uint64_t frames = 1 + dice.below(4); frames != 0; --frames) {
    put_frame(data, message_of(stream, dice));
  }
  return data;
}

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "dragoman/json_decoder.hpp"
#include "sample_json.hpp"

namespace {

using namespace dragoman;

struct Stream {
  explicit Stream(const json::StreamSpec& spec) : decoder(json::compile(spec)) {}

  const BatchView& operator()(std::string_view frame) {
    // Exactly sized, so that a sanitizer sees a read beyond the frame.
    const std::vector<std::uint8_t> bytes(frame.begin(), frame.end());
    decoder.decode(bytes.data(), bytes.size(), 77, block);
    return block.view;
  }
  [[nodiscard]] std::string control(std::size_t index, std::string_view frame) const {
    const ByteRange range = block.control.at(index);
    return std::string(frame.substr(range.begin, range.end - range.begin));
  }

  json::Decoder decoder;
  Block block;
};

double value(const Record& record, Slot slot) {
  return record.values[static_cast<std::size_t>(slot)];
}
bool has(const Record& record, Slot slot) {
  return (record.present >> static_cast<unsigned>(slot) & 1u) != 0;
}
bool is(const Level& level, double price, double quantity, Side side, Action action) {
  return level.price == price && level.quantity == quantity && level.side == side && level.action == action;
}

void test_delta_carries_levels_numbers_and_written_decimals() {
  Stream stream(samples::exchange());
  stream.decoder.bind_text("BNBBTC", 4);
  const BatchView& view = stream(
      R"({"e":"depthUpdate","E":1626992741037,"s":"BNBBTC","U":157,"u":160,"b":[["0.0024","10"],["0.00230","0"]],"a":[["100.0","7.50"]]})");
  CHECK(view.record_count == 1 && view.errors == 0);
  const Record& record = view.records[0];
  CHECK(record.instrument == 4 && record.kind == Kind::depth_delta);
  CHECK(record.ts_event == 1626992741037000000 && record.sequence == 160 && record.prev_sequence == 156);
  CHECK((record.flags & kFlagDepth) != 0 && (record.flags & kFlagSnapshot) == 0);
  CHECK(record.level_count == 3);
  const Level* const levels = view.levels + record.level_begin;
  CHECK(is(levels[0], 0.0024, 10.0, Side::bid, Action::update) && levels[0].price_decimals == 4);
  CHECK(is(levels[1], 0.0023, 0.0, Side::bid, Action::remove) && levels[1].price_decimals == 5);
  CHECK(is(levels[2], 100.0, 7.5, Side::ask, Action::update) && levels[2].quantity_decimals == 2);
}

void test_key_order_white_space_and_escapes_do_not_matter() {
  Stream stream(samples::exchange());
  stream.decoder.bind_text("B/\xC3\xA9\xF0\x9F\x98\x80", 9);
  const BatchView& view = stream(
      " {\t\"a\" : [ ] , \"unknown\" : { \"e\" : [ 1 , { } , \"\\\"\" ] } ,\r\n \"\\u0062\" : [ [ \"1.5\" , "
      "\"2\" , \"x\" ] ] , \"u\" : 5 , \"U\" : 5 , \"s\" : \"B\\/\\u00e9\\ud83d\\ude00\" , \"e\" : "
      "\"depth\\u0055pdate\" } ");
  CHECK(view.record_count == 1 && view.errors == 0);
  CHECK(view.records[0].instrument == 9 && view.records[0].level_count == 1);
  CHECK(is(view.levels[0], 1.5, 2.0, Side::bid, Action::update));
}

void test_unmatched_messages_are_control_element_by_element() {
  Stream stream(samples::exchange());
  const std::string_view frame =
      R"([{"id":1}, {"e":"trade","s":"A","p":"1.5","q":"2","m":true},{"e":"status"} ])";
  const BatchView& view = stream(frame);
  CHECK(view.record_count == 1 && (view.records[0].flags & kFlagSeller) != 0);
  CHECK(view.records[0].source == frame.find(R"({"e":"trade")"));
  CHECK(stream.block.control.size() == 2);
  CHECK(stream.control(0, frame) == R"({"id":1})");
  CHECK(stream.control(1, frame) == R"({"e":"status"})");
}

void test_broken_frames_deliver_nothing_and_leave_the_next_alone() {
  const std::string_view good =
      R"([{"e":"trade","s":"A","p":"1","q":"2"},{"e":"trade","s":"A","p":"3","q":"4"}])";
  for (std::size_t size = 0; size < good.size(); ++size) {
    Stream stream(samples::exchange());
    const BatchView& view = stream(good.substr(0, size));
    CHECK(view.record_count == 0 && view.errors == 1);
    CHECK(stream.decoder.counters().truncated == 1 && stream.block.control.empty());
    CHECK(stream(good).record_count == 2);
  }
  for (const std::string_view bad :
       {R"({"e":"trade","s":"A"}x)", R"({"e":"trade",})", R"({"e" "trade"})", R"([1,])", R"({"e":01})",
        R"({"e":"\x"})", R"({"e":"\ud8"})", "{\"e\":\"a\nb\"}", R"({"e":.5})", R"({"e":1.})", R"({"e":+1})",
        R"({"e":truth})", R"({'e':1})", R"({"e":NaN})", R"({"b":[["1","2"}})", R"({"e":1}{"e":2})"}) {
    Stream stream(samples::exchange());
    CHECK(stream(bad).errors == 1);
    CHECK(stream.decoder.counters().malformed == 1);
  }
}

std::string trade(const std::string& price, const char* symbol = "B") {
  return R"({"e":"trade","s":")" + std::string(symbol) + R"(","p":)" + price + R"(,"q":1,"m":true})";
}

void test_number_literals_keep_to_the_grammar_in_messages_new_and_known() {
  for (const char* const bad :
       {"05", "00", "01.5", "1.", ".5", "1.2.3", "1..2", "-", "-05", "1e", "0x1", "1:2", "1 2", "\xFF",
        "1\xAE"
        "5",
        "12345.", "1234567.", "12345678.", "012345678"}) {
    Stream fresh(samples::exchange());
    CHECK(fresh(trade(bad)).errors == 1);
    Stream known(samples::exchange());
    CHECK(known(trade("5")).errors == 0);
    CHECK(known(trade(bad)).errors == 1);
  }
  for (const char* const good :
       {"0", "7", "10", "0.5", "0.05", "0.12345", "1.0", "185.35", "1234567", "12345.6", "123456.7",
        "12345678", "1234567.8", "123456789.25", "-0.5", "1e3", "2.5E-1"}) {
    Stream fresh(samples::exchange());
    CHECK(value(fresh(trade(good)).records[0], Slot::last_price) == std::strtod(good, nullptr));
    Stream known(samples::exchange());
    CHECK(known(trade("5")).errors == 0);
    CHECK(value(known(trade(good)).records[0], Slot::last_price) == std::strtod(good, nullptr));
  }
}

void test_what_a_name_is_bound_to_follows_every_change() {
  Stream stream(samples::exchange());
  const auto bound = [&](const char* symbol) { return stream(trade("5", symbol)).records[0].instrument; };
  const char* const names[] = {"A", "AB", "ABCDEFGH", "ABCDEFGHI", "ABCDEFGHIJKLMNOP", "ABCDEFGHIJKLMNOPQ"};
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 6; ++i) {
      CHECK(bound(names[i]) == kUnbound);
      stream.decoder.bind_text(names[i], 10 * round + i);
      CHECK(bound(names[i]) == 10 * round + i && bound(names[i]) == 10 * round + i);
    }
    for (int i = 0; i < 6; ++i) {
      stream.decoder.bind_text(names[i], 100 + i);
      CHECK(bound(names[i]) == 100 + i);
      const std::int64_t key = stream.block.view.records[0].key;
      stream.decoder.unbind_text(names[i]);
      CHECK(bound(names[i]) == kUnbound && stream.block.view.records[0].key == key);
    }
  }
}

void test_hostile_nesting_is_malformed() {
  Stream stream(samples::exchange());
  CHECK(stream(std::string(64, '[') + std::string(64, ']')).errors == 0);
  CHECK(stream(std::string(65, '[') + std::string(65, ']')).errors == 1);
  std::string deep = R"({"x":)";
  for (int i = 0; i < 100000; ++i) {
    deep += R"({"x":)";
  }
  CHECK(stream(deep).errors == 1);
  CHECK(stream.decoder.counters().malformed == 2);
}

void test_last_of_equal_keys_counts() {
  Stream stream(samples::exchange());
  const BatchView& view = stream(
      R"({"e":"x","e":"depthUpdate","s":"A","u":1,"U":1,"b":[["1","1"],["2","2"]],"a":[["9","9"]],"b":[["3","3"]]})");
  CHECK(view.record_count == 1 && view.records[0].level_count == 2 && view.level_count == 2);
  CHECK(is(view.levels[0], 3.0, 3.0, Side::bid, Action::update));
  CHECK(is(view.levels[1], 9.0, 9.0, Side::ask, Action::update));
}

void test_levels_beyond_15_digits_are_refused_and_counted() {
  Stream stream(samples::exchange());
  const BatchView& view = stream(
      R"({"e":"depthUpdate","s":"A","u":1,"U":1,"b":[["123456789.12345678","1"],["100000000.00000000","1"],["1e2","1"],["007","1"],["5","1"]],"a":[]})");
  CHECK(view.record_count == 1 && view.records[0].level_count == 2);
  CHECK(is(view.levels[0], 1e8, 1.0, Side::bid, Action::update) && view.levels[0].price_decimals == 8);
  CHECK(is(view.levels[1], 5.0, 1.0, Side::bid, Action::update));
  CHECK(stream.decoder.counters().rejected_values == 3);
}

void test_snapshot_gives_bids_first_and_the_top_of_book() {
  Stream stream(samples::exchange());
  const BatchView& view =
      stream(R"({"e":"snap","s":"A","a":[["3","1"],["4","0"]],"b":[["2","5"],["1","6"]]})");
  CHECK(view.record_count == 1);
  const Record& record = view.records[0];
  CHECK((record.flags & kFlagSnapshot) != 0 && record.level_count == 3);
  CHECK(is(view.levels[0], 2.0, 5.0, Side::bid, Action::add));
  CHECK(is(view.levels[2], 3.0, 1.0, Side::ask, Action::add));
  CHECK(value(record, Slot::bid_price) == 2.0 && value(record, Slot::ask_quantity) == 1.0);
}

void test_times_are_exact_or_absent() {
  const struct {
    const char* text;
    std::int64_t expected;
  } cases[] = {{R"("2021-02-22T15:51:44.208Z")", 1614009104208000000},
               {R"("2021-02-22T15:51:45.335689322Z")", 1614009105335689322},
               {R"("2021-02-22T21:21:45.3+05:30")", 1614009105300000000},
               {R"("1969-12-31T23:59:59.5Z")", -500000000},
               {R"("2262-04-11T23:47:16.854775807Z")", std::numeric_limits<std::int64_t>::max()},
               {R"("2262-04-11T23:47:16.854775808Z")", kAbsentInt},
               {R"("0001-01-01T00:00:00Z")", kAbsentInt},
               {R"("2021-02-29T00:00:00Z")", kAbsentInt},
               {R"("2021-02-22T15:51:44")", kAbsentInt},
               {R"("2021-02-22T15:51:44.1234567891Z")", kAbsentInt},
               {R"("2021-02-22T15:51:44.Z")", kAbsentInt},
               {"1614009104", kAbsentInt}};
  for (const auto& one : cases) {
    Stream stream(samples::times("rfc3339"));
    const BatchView& view = stream(std::string(R"({"t":)") + one.text + "}");
    CHECK(view.record_count == 1 && view.records[0].ts_event == one.expected);
    CHECK(stream.decoder.counters().rejected_values == (one.expected == kAbsentInt ? 1u : 0u));
  }
  const struct {
    const char* unit;
    const char* text;
    std::int64_t expected;
  } epochs[] = {{"s", "1618678134.123456", 1618678134123456000},
                {"s", R"("1618678134")", 1618678134000000000},
                {"s", "-1.5", -1500000000},
                {"ms", "1626992741037", 1626992741037000000},
                {"us", R"("1.0019")", 1001},
                {"ns", "1626992741037000001", 1626992741037000001},
                {"s", "9223372037", kAbsentInt},
                {"ms", "9223372036854775808", kAbsentInt},
                {"s", "1e3", kAbsentInt},
                {"s", R"("12:00")", kAbsentInt},
                {"s", "true", kAbsentInt},
                {"s", "1.0000000019999", 1000000001}};
  for (const auto& one : epochs) {
    Stream stream(samples::times(one.unit));
    const BatchView& view = stream(std::string(R"({"t":)") + one.text + "}");
    CHECK(view.record_count == 1 && view.records[0].ts_event == one.expected);
  }
}

void test_positional_message_binds_all_its_maps_at_the_end() {
  Stream stream(samples::positional());
  stream.decoder.bind_text("XBT/USD", 3);
  const BatchView& view = stream(
      R"([1234,{"a":[["5541.30","2.5","1534614248.456738"],["5541.8","0.3","1"]]},{"b":[["5541.2","0"]],"c":"974942666"},"book-10","XBT/USD"])");
  CHECK(view.record_count == 1 && view.records[0].instrument == 3 && view.records[0].level_count == 3);
  CHECK(is(view.levels[0], 5541.2, 0.0, Side::bid, Action::remove) ||
        is(view.levels[0], 5541.3, 2.5, Side::ask, Action::update));
  CHECK(stream(R"({"event":"heartbeat"})").record_count == 0);
  CHECK(stream.block.control.size() == 1);
}

void test_each_makes_a_record_of_every_element_of_every_event() {
  Stream stream(samples::nested());
  const std::string_view frame =
      R"({"events":[{"type":"update","trades":[{"id":"A","p":"1"},{"id":"B","p":"2"}]},{"type":"update","trades":[{"id":"C","p":"3"}]}],"channel":"trades","n":7})";
  const BatchView& view = stream(frame);
  CHECK(view.record_count == 3 && view.errors == 0);
  CHECK(value(view.records[2], Slot::last_price) == 3.0 && view.records[2].sequence == 7);
  CHECK(view.records[1].source == frame.find(R"({"id":"B")"));
}

void test_entries_of_a_map_are_records_named_by_their_keys() {
  Stream stream(samples::map_of_prices());
  stream.decoder.bind_text("ETH", 2);
  const BatchView& view = stream(R"({"mids":{"BTC":"65000.5","ETH":3000,"X":{}}})");
  CHECK(view.record_count == 2 + 1);
  CHECK(view.records[1].instrument == 2 && value(view.records[1], Slot::last_price) == 3000.0);
  CHECK(!has(view.records[2], Slot::last_price) && stream.decoder.counters().rejected_values == 1);
}

void test_partial_updates_are_delivered_merged() {
  Stream stream(samples::partial());
  stream.decoder.bind_text("NSE|22", 1);
  stream(
      R"({"t":"tk","e":"NSE","tk":"22","lp":"100.5","v":"10","bp1":"100","bq1":"5","sp1":"101","sq1":"6"})");
  const BatchView& view = stream(R"({"t":"tf","e":"NSE","tk":"22","v":"12","bq1":"7"})");
  CHECK(view.record_count == 1);
  const Record& record = view.records[0];
  CHECK(record.instrument == 1 && (record.flags & kFlagMerged) != 0);
  CHECK(value(record, Slot::last_price) == 100.5 && value(record, Slot::volume) == 12.0);
  CHECK((record.changed >> static_cast<unsigned>(Slot::last_price) & 1u) == 0);
  CHECK((record.changed >> static_cast<unsigned>(Slot::volume) & 1u) != 0);
  CHECK(record.level_count == 2);
  CHECK(is(view.levels[0], 100.0, 7.0, Side::bid, Action::add));
  CHECK(is(view.levels[1], 101.0, 6.0, Side::ask, Action::add));
  const BatchView& again = stream(R"({"t":"tk","e":"NSE","tk":"22","lp":"9"})");
  CHECK(!has(again.records[0], Slot::volume) && again.records[0].level_count == 0);
}

void test_key_must_be_there_and_be_valid_text() {
  for (const std::string_view bad :
       {std::string_view(R"({"e":"trade","p":"1"})"), std::string_view("{\"e\":\"trade\",\"s\":\"\xC3\"}"),
        std::string_view(R"({"e":"trade","s":"\ud800"})"), std::string_view(R"({"e":"trade","s":""})")}) {
    Stream stream(samples::exchange());
    CHECK(stream(bad).record_count == 0);
    CHECK(stream.decoder.counters().malformed == 1);
  }
}

void test_messagepack_reads_the_same_layouts() {
  Stream stream(samples::packed());
  stream.decoder.bind_text("AAPL", 6);
  // [{"T":"t","S":"AAPL","p":126.55,"s":1,"t":ext(-1) 2021-02-22T15:51:44.208Z}, {"T":"x"}]
  const std::string frame(
      "\x92\x85\xA1T\xA1t\xA1S\xA4"
      "AAPL\xA1p\xCB\x40\x5F\xA3\x33\x33\x33\x33\x33\xA1s\x01\xA1t\xD7\xFF\x31\x97\x50\x00\x60\x33\xD3\x10"
      "\x81\xA1T\xA1x",
      44);
  const BatchView& view = stream(frame);
  CHECK(view.record_count == 1 && view.records[0].instrument == 6);
  CHECK(value(view.records[0], Slot::last_price) == 126.55);
  CHECK(view.records[0].last_trade_time == 1614009104208000000);
  CHECK(stream.block.control.size() == 1);
  for (std::size_t size = 0; size < frame.size(); ++size) {
    const BatchView& cut = stream(std::string_view(frame).substr(0, size));
    CHECK(cut.record_count == 0 && cut.errors == 1);
  }
  CHECK(stream.decoder.counters().truncated == frame.size());
}

void test_descriptions_that_cannot_be_are_refused_with_their_place() {
  const auto refused = [](const json::StreamSpec& spec, std::string_view part) {
    try {
      (void)json::compile(spec);
    } catch (const std::invalid_argument& error) {
      return std::string_view(error.what()).find(part) != std::string_view::npos;
    }
    return false;
  };
  json::StreamSpec spec = samples::exchange();
  spec.layouts[0].fields[0].unit = "min";
  CHECK(refused(spec, "layout 'depth': field 'ts_event': found unit 'min'"));
  spec = samples::exchange();
  spec.layouts[0].fields[0].to = "nothing";
  CHECK(refused(spec, "found slot 'nothing'"));
  spec = samples::exchange();
  spec.layouts[0].levels[0].divisor = 3;
  CHECK(refused(spec, "a power of ten"));
  spec = samples::exchange();
  spec.layouts[1].key.reset();
  spec.layouts[1].merge = true;
  CHECK(refused(spec, "merge without key"));
}

}  // namespace

int main() {
  return run_tests({TEST_CASE(test_delta_carries_levels_numbers_and_written_decimals),
                    TEST_CASE(test_key_order_white_space_and_escapes_do_not_matter),
                    TEST_CASE(test_unmatched_messages_are_control_element_by_element),
                    TEST_CASE(test_broken_frames_deliver_nothing_and_leave_the_next_alone),
                    TEST_CASE(test_number_literals_keep_to_the_grammar_in_messages_new_and_known),
                    TEST_CASE(test_what_a_name_is_bound_to_follows_every_change),
                    TEST_CASE(test_hostile_nesting_is_malformed), TEST_CASE(test_last_of_equal_keys_counts),
                    TEST_CASE(test_levels_beyond_15_digits_are_refused_and_counted),
                    TEST_CASE(test_snapshot_gives_bids_first_and_the_top_of_book),
                    TEST_CASE(test_times_are_exact_or_absent),
                    TEST_CASE(test_positional_message_binds_all_its_maps_at_the_end),
                    TEST_CASE(test_each_makes_a_record_of_every_element_of_every_event),
                    TEST_CASE(test_entries_of_a_map_are_records_named_by_their_keys),
                    TEST_CASE(test_partial_updates_are_delivered_merged),
                    TEST_CASE(test_key_must_be_there_and_be_valid_text),
                    TEST_CASE(test_messagepack_reads_the_same_layouts),
                    TEST_CASE(test_descriptions_that_cannot_be_are_refused_with_their_place)});
}

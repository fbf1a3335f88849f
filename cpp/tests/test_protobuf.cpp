#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "dragoman/protobuf_decoder.hpp"
#include "sample_messages.hpp"

namespace {

using namespace dragoman;
using Bytes = std::string;

Bytes varint(std::uint64_t value) {
  Bytes out;
  for (; value >= 0x80; value >>= 7) {
    out.push_back(static_cast<char>(value | 0x80));
  }
  out.push_back(static_cast<char>(value));
  return out;
}
Bytes number(std::uint32_t at, std::uint64_t value) {
  return varint(at << 3) + varint(value);
}
Bytes f64(std::uint32_t at, double value) {
  Bytes out = varint(at << 3 | 1);
  out.append(reinterpret_cast<const char*>(&value), 8);
  return out;
}
Bytes message(std::uint32_t at, const Bytes& body) {
  return varint(at << 3 | 2) + varint(body.size()) + body;
}
Bytes feed(const Bytes& key, const Bytes& body) {
  return message(2, message(1, key) + message(2, body));
}

struct Stream {
  explicit Stream(const protobuf::StreamSpec& spec) : decoder(protobuf::compile(spec)) {}

  const BatchView& operator()(const Bytes& frame) {
    // Exactly the frame's bytes on the heap, so that a sanitizer sees one read too many.
    const std::vector<std::uint8_t> bytes(frame.begin(), frame.end());
    decoder.decode(bytes.data(), bytes.size(), 77, block);
    return block.view;
  }

  protobuf::Decoder decoder;
  Block block;
};

double at(const Record& record, Slot slot) {
  return record.values[static_cast<std::size_t>(slot)];
}
bool has(const Record& record, Slot slot) {
  return (record.present >> static_cast<unsigned>(slot) & 1u) != 0;
}

void test_a_map_entry_is_a_record_whatever_the_order_of_its_fields() {
  Stream stream(samples::by_map());
  stream.decoder.bind_text("NSE|1", 4);
  const BatchView& view = stream(
      message(2, message(2, message(1, f64(1, 10.5) + number(3, 7))) + message(1, "NSE|1")) + number(3, 9));
  CHECK(view.record_count == 1 && view.errors == 0);
  CHECK(view.records[0].instrument == 4);
  CHECK(at(view.records[0], Slot::last_price) == 10.5 && at(view.records[0], Slot::last_quantity) == 7.0);
  CHECK(view.records[0].ts_event == 9'000'000 && view.records[0].ts_recv == 77);
  CHECK((view.records[0].flags & kFlagLast) != 0);
}

void test_a_missing_field_is_its_default_or_absent() {
  Stream stream(samples::by_map());
  const BatchView& view = stream(feed("a", message(1, number(3, 7))));
  CHECK(has(view.records[0], Slot::last_price) && at(view.records[0], Slot::last_price) == 0.0);
  CHECK(!has(view.records[0], Slot::previous_close) && std::isnan(at(view.records[0], Slot::previous_close)));
}

void test_partial_updates_are_laid_over_what_came_before() {
  Stream stream(samples::by_map());
  (void)stream(feed("a", message(1, f64(1, 5.0) + f64(4, 4.0))));
  const Bytes rows = message(1, number(1, 3) + f64(2, 4.5) + number(3, 2) + f64(4, 5.5));
  const BatchView& view = stream(feed("a", message(2, message(1, message(2, rows) + number(6, 9)))));
  const Record& merged = view.records[0];
  CHECK(at(merged, Slot::last_price) == 5.0 && at(merged, Slot::bid_price) == 4.5);
  CHECK(!(merged.changed >> static_cast<unsigned>(Slot::last_price) & 1u));
  CHECK((merged.flags & kFlagMerged) != 0 && (merged.flags & kFlagSnapshot) != 0 && view.level_count == 2);
}

void test_nothing_of_a_broken_message_is_delivered_or_remembered() {
  Stream stream(samples::by_map());
  const Bytes good = feed("a", message(1, f64(1, 5.0)));
  for (std::size_t cut = 1; cut < good.size(); ++cut) {
    CHECK(stream(good + good.substr(0, cut)).record_count == 0);
  }
  CHECK(stream.decoder.counters().truncated + stream.decoder.counters().malformed == good.size() - 1);
  CHECK(stream.decoder.counters().records == 0);
  CHECK((stream(good).records[0].flags & kFlagMerged) == 0);
}

void test_overlong_varints_groups_and_field_zero_are_malformed() {
  Stream stream(samples::by_map());
  for (const Bytes& frame :
       {Bytes("\x18") + Bytes(10, '\xFF') + "\x01", Bytes("\x18") + Bytes(9, '\xFF') + "\x02",
        Bytes("\x23\x24"), Bytes(2, '\0'), feed("\xC3\x28", message(1, f64(1, 5.0))),
        feed("a", message(1, "") + message(2, message(1, "")))}) {
    CHECK(stream(frame).errors == 1);
  }
  CHECK(stream.decoder.counters().malformed == 6);
}

void test_a_condition_reads_the_last_word_of_its_field() {
  Stream stream(samples::by_map());
  const auto with = [](const Bytes& candle) {
    return feed("a", message(2, message(1, message(4, message(1, candle)))));
  };
  CHECK(has(stream(with(f64(2, 8.0) + message(1, "1d"))).records[0], Slot::open));
  Stream other(samples::by_map());
  CHECK(!has(other(with(message(1, "1d") + f64(2, 8.0) + message(1, "I1"))).records[0], Slot::open));
}

void test_control_frames_and_records_with_more_to_read_are_handed_over() {
  Stream stream(samples::by_map());
  CHECK(stream(number(1, 2) + number(3, 1)).record_count == 0);
  CHECK(stream.block.control.size() == 1 && stream.block.control[0].end == 4);
  const Bytes frame = feed("a", message(2, message(1, message(3, f64(1, 0.5)))));
  CHECK(stream(frame).record_count == 1);
  CHECK(stream.block.control.size() == 1 && stream.block.control[0].begin == 2 &&
        stream.block.control[0].end == frame.size());
}

void test_rows_of_a_map_are_sorted_and_unreadable_ones_left_out() {
  Stream stream(samples::by_root());
  const auto row = [](double price, const char* quantity) {
    return message(2, number(1, 9) + message(2, f64(1, price) + message(2, quantity)));
  };
  const BatchView& view = stream(message(5, row(9.0, "1.50") + row(11.0, "2") + row(10.0, "x")));
  CHECK(view.record_count == 1 && view.level_count == 2);
  CHECK(view.levels[0].price == 11.0 && view.levels[1].price == 9.0);
  CHECK(view.levels[1].quantity == 1.5 && view.levels[1].quantity_decimals == 2);
  CHECK(stream.decoder.counters().rejected_values == 1);
}

void test_lists_become_levels_and_unequal_lists_are_malformed() {
  Stream stream(samples::by_lists());
  const Bytes quantities("\x05\0\0\0\0\0\0\0", 8);
  const Bytes lists = message(3, varint(2 * 250) + varint(2 * 240)) + message(4, quantities);
  const BatchView& view = stream(message(1, number(1, 3) + lists));
  CHECK(view.record_count == 1 && view.level_count == 2);
  CHECK(view.records[0].key == std::int64_t{3} << 32);
  CHECK(view.levels[0].price == 2.5 && view.levels[0].action == Action::update);
  CHECK(view.levels[1].price == 2.4 && view.levels[1].action == Action::remove);
  CHECK(stream(message(1, lists + number(5, 1))).errors == 1);
}

void test_a_block_grows_by_what_was_found() {
  Stream stream(samples::by_map());
  Bytes frame;
  for (int i = 0; i < 1000; ++i) {
    frame += feed("k" + std::to_string(i), message(1, f64(1, i)));
  }
  const BatchView& view = stream(frame);
  CHECK(view.record_count == 1000 && at(view.records[999], Slot::last_price) == 999.0);
  Stream empty(samples::by_map());
  CHECK(empty(Bytes("\x12\x00", 2) + Bytes("\x12\xFF\xFF\xFF\xFF\x0F", 6)).record_count == 0);
  CHECK(empty.block.record_capacity() <= 16);
}

void test_merged_records_beyond_the_cap_are_counted_not_kept() {
  Stream stream(samples::by_lists());
  for (std::uint64_t key = 0; key < protobuf::Decoder::kMaxMerged + 10; ++key) {
    CHECK(stream(message(1, number(1, key))).record_count == 1);
  }
  CHECK(stream.decoder.counters().table_full == 10);
}

void test_what_cannot_be_is_refused_with_its_place() {
  protobuf::StreamSpec spec = samples::by_map();
  spec.members[0].members[1].members[0].members[0].to = "nowhere";
  std::string said;
  try {
    (void)protobuf::compile(spec);
  } catch (const std::invalid_argument& error) {
    said = error.what();
  }
  CHECK(said.find("stream 'by_map': records 2: sub 2: sub 1: value 'nowhere'") != std::string::npos);
}

}  // namespace

int main() {
  return run_tests({
      TEST_CASE(test_a_map_entry_is_a_record_whatever_the_order_of_its_fields),
      TEST_CASE(test_a_missing_field_is_its_default_or_absent),
      TEST_CASE(test_partial_updates_are_laid_over_what_came_before),
      TEST_CASE(test_nothing_of_a_broken_message_is_delivered_or_remembered),
      TEST_CASE(test_overlong_varints_groups_and_field_zero_are_malformed),
      TEST_CASE(test_a_condition_reads_the_last_word_of_its_field),
      TEST_CASE(test_control_frames_and_records_with_more_to_read_are_handed_over),
      TEST_CASE(test_rows_of_a_map_are_sorted_and_unreadable_ones_left_out),
      TEST_CASE(test_lists_become_levels_and_unequal_lists_are_malformed),
      TEST_CASE(test_a_block_grows_by_what_was_found),
      TEST_CASE(test_merged_records_beyond_the_cap_are_counted_not_kept),
      TEST_CASE(test_what_cannot_be_is_refused_with_its_place),
  });
}

#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "dragoman/key_map.hpp"
#include "dragoman/packed_decoder.hpp"
#include "sample_streams.hpp"

namespace {

using namespace dragoman;
using Bytes = std::vector<std::uint8_t>;

Bytes from_hex(const std::string& text) {
  Bytes out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    out.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return out;
}

struct Stream {
  explicit Stream(const packed::StreamSpec& spec) : decoder(packed::compile(spec)) {}

  const BatchView& operator()(const Bytes& frame) {
    decoder.decode(frame.data(), frame.size(), 77, block);
    return block.view;
  }

  packed::Decoder decoder;
  Block block;
};

double value(const Record& record, Slot slot) {
  return record.values[static_cast<std::size_t>(slot)];
}
bool has(const Record& record, Slot slot) {
  return (record.present >> static_cast<unsigned>(slot) & 1u) != 0;
}

void test_price_is_divided_by_the_divisor_of_its_segment() {
  Stream stream(samples::by_length());
  const BatchView& view =
      stream(from_hex("00030008000000010000271000080000000300989680000800000006000027d8"));
  CHECK(view.record_count == 3);
  CHECK(value(view.records[0], Slot::last_price) == 100.0);
  CHECK(value(view.records[1], Slot::last_price) == 1.0);
  CHECK(value(view.records[2], Slot::last_price) == 1.02);
  CHECK((view.records[2].flags & kFlagLast) != 0);
  CHECK((view.records[1].flags & kFlagLast) == 0);
}

void test_a_promised_count_reserves_no_more_than_the_bytes_allow() {
  Stream stream(samples::by_length());
  const BatchView& view = stream(from_hex("ffff0008000000010000"));
  CHECK(view.record_count == 0);
  CHECK(stream.decoder.counters().truncated == 1);
  CHECK(stream.block.frame_size < 65536);
}

void test_packets_before_a_truncated_one_are_kept() {
  Stream stream(samples::by_length());
  const BatchView& view = stream(from_hex("0002000800000001000027100008000000"));
  CHECK(view.record_count == 1);
  CHECK(view.errors == 1);
}

void test_packet_of_unknown_length_is_skipped_counted_and_handed_over() {
  Stream stream(samples::by_length());
  const BatchView& view = stream(from_hex("000200030000000008000000010000271a"));
  CHECK(view.record_count == 1);
  CHECK(stream.decoder.counters().unknown_packets == 1);
  CHECK(stream.block.control.size() == 1 && stream.block.control[0].begin == 4 &&
        stream.block.control[0].end == 7);
}

void test_padding_rows_make_no_levels_and_an_empty_side_no_top_of_book() {
  Stream stream(samples::by_length());
  Bytes frame = from_hex("00010040");
  frame.resize(4 + 64);
  frame[4 + 3] = 1;
  frame[4 + 16 + 3] = 9;  // one bid: quantity 9 at 2.55
  frame[4 + 20 + 3] = 255;
  const BatchView& view = stream(frame);
  CHECK(view.record_count == 1 && view.level_count == 1);
  CHECK(value(view.records[0], Slot::bid_price) == 2.55);
  CHECK(value(view.records[0], Slot::bid_quantity) == 9.0);
  CHECK(!has(view.records[0], Slot::ask_price));
  CHECK(std::isnan(value(view.records[0], Slot::ask_price)));
}

void test_runs_of_like_packets_equal_packets_decoded_alone() {
  Bytes together = from_hex("0028");
  std::vector<Bytes> alone;
  for (std::uint8_t i = 0; i < 40; ++i) {
    Bytes packet(64);
    for (std::size_t k = 0; k < packet.size(); ++k) {
      packet[k] = static_cast<std::uint8_t>(k % 4 < 2 ? 0 : i * 31 + k * 7);
    }
    if (i % 5 == 0) {
      std::fill(packet.begin() + 40, packet.end(), std::uint8_t{0});
    }
    Bytes frame = from_hex("00010040");
    frame.insert(frame.end(), packet.begin(), packet.end());
    alone.push_back(frame);
    together.insert(together.end(), frame.begin() + 2, frame.end());
  }
  Stream many(samples::by_length());
  Stream one(samples::by_length());
  const BatchView& all = many(together);
  CHECK(all.record_count == alone.size());
  for (std::size_t i = 0; i < alone.size(); ++i) {
    const BatchView& single = one(alone[i]);
    CHECK(std::memcmp(single.records[0].values, all.records[i].values, sizeof(Record::values)) == 0);
    CHECK(single.records[0].present == all.records[i].present);
    CHECK(single.level_count == all.records[i].level_count);
    CHECK(std::memcmp(single.levels, all.levels + all.records[i].level_begin,
                      single.level_count * sizeof(Level)) == 0);
  }
}

/// A frame of full packets of which every `odd`th is another: short, empty on a side, or all padding.
Bytes mixed_frame(unsigned packets, unsigned odd) {
  Bytes frame = {0, static_cast<std::uint8_t>(packets)};
  for (unsigned i = 0; i < packets; ++i) {
    const bool other = i % odd == odd - 1;
    Bytes packet(other && i % 2 == 0 ? 8 : 64);
    for (std::size_t k = 0; k < packet.size(); ++k) {
      packet[k] = static_cast<std::uint8_t>(k % 4 < 2 ? 0 : i * 31 + k * 7);
    }
    if (other && packet.size() == 64) {
      std::fill(packet.begin() + (i % 3 == 0 ? 16 : 40), packet.end(), std::uint8_t{0});
    }
    frame.insert(frame.end(), {0, static_cast<std::uint8_t>(packet.size())});
    frame.insert(frame.end(), packet.begin(), packet.end());
  }
  return frame;
}

void test_levels_read_later_equal_levels_read_at_once() {
  Stream whole(samples::by_length());
  Stream left(samples::by_length());
  for (const unsigned odd : {100u, 1u, 2u, 5u, 33u}) {
    const Bytes frame = mixed_frame(70, odd);
    const BatchView& all = whole(frame);
    left.decoder.decode_heads(frame.data(), frame.size(), 77, left.block);
    const BatchView& view = left.block.view;
    CHECK(left.block.unread != nullptr && view.record_count == all.record_count);
    for (std::size_t i = 0; i < all.record_count; ++i) {
      CHECK(std::memcmp(view.records[i].values, all.records[i].values, sizeof(Record::values)) == 0);
      CHECK(view.records[i].present == all.records[i].present);
    }
    left.block.read_levels();
    CHECK(left.block.unread == nullptr && view.level_count == all.level_count && all.level_count != 0);
    CHECK(std::memcmp(view.records, all.records, all.record_count * sizeof(Record)) == 0);
    CHECK(std::memcmp(view.levels, all.levels, all.level_count * sizeof(Level)) == 0);
  }
}

void test_levels_that_were_left_are_read_before_the_next_frame() {
  Stream stream(samples::by_length());
  const Bytes frame = mixed_frame(3, 100);
  stream.decoder.decode_heads(frame.data(), frame.size(), 77, stream.block);
  Block next;
  stream.decoder.decode_heads(frame.data(), frame.size(), 78, next);
  CHECK(stream.block.unread == nullptr && stream.block.view.level_count != 0);
  CHECK(next.unread == &stream.decoder && next.view.level_count == 0);
  next.read_levels();
  next.read_levels();
  CHECK(next.view.level_count == stream.block.view.level_count);
}

void test_length_that_does_not_cover_itself_ends_the_frame() {
  Stream stream(samples::by_code());
  const BatchView& view = stream(from_hex("07080000000000000500000000"));
  CHECK(view.record_count == 1);
  CHECK(stream.decoder.counters().malformed == 1);
}

void test_partial_updates_are_laid_over_what_came_before() {
  Stream stream(samples::by_code());
  stream.decoder.bind((std::int64_t{1} << 32) | 5, 3);
  const BatchView& first = stream(from_hex("02100001050000000000c0404c4a8168"));
  CHECK(first.record_count == 1);
  CHECK(value(first.records[0], Slot::last_price) == 6.0);
  CHECK(first.records[0].ts_event == (0x68814a4cLL - 19800) * 1'000'000'000);
  CHECK((first.records[0].flags & kFlagMerged) == 0);
  const Record merged = stream(from_hex("050c00010500000007000000")).records[0];
  CHECK(merged.instrument == 3);
  CHECK(value(merged, Slot::last_price) == 6.0);
  CHECK(value(merged, Slot::oi) == 7.0);
  CHECK(merged.changed == 1u << static_cast<unsigned>(Slot::oi));
  CHECK((merged.flags & kFlagMerged) != 0);
  const Record kept = stream(from_hex("050c000105000000ffffffff")).records[0];
  CHECK(value(kept, Slot::oi) == 7.0);
  CHECK(kept.changed == 0);
}

void test_mantissas_beyond_two_to_the_53_are_rounded_once() {
  Bytes packet(72);
  packet[0] = 6;
  packet[1] = 72;
  std::memcpy(&packet[3], "12345   ", 8);
  const std::int64_t price = 9'007'199'254'740'993;  // 2^53 + 1: a double cannot hold it
  const std::uint64_t high = std::numeric_limits<std::uint64_t>::max();
  std::memcpy(&packet[32], &price, 8);
  std::memcpy(&packet[40], &high, 8);
  packet[64] = 3;
  packet[66] = 1;
  Stream stream(samples::by_code());
  const BatchView& view = stream(packet);
  CHECK(view.record_count == 1);
  CHECK(view.records[0].key == 12345);
  CHECK(value(view.records[0], Slot::last_price) == 9007199254740.993);
  CHECK(value(view.records[0], Slot::high) == 18446744073709551.615);
}

void test_times_and_numbers_beyond_int64_are_absent_and_counted() {
  Bytes packet(72);
  packet[0] = 6;
  packet[1] = 72;
  std::memcpy(&packet[3], "1       ", 8);
  std::fill_n(packet.begin() + 16, 8, std::uint8_t{0xFF});  // sequence: u64 maximum
  packet[31] = 0x7F;                                        // ts_event: far beyond int64 ns
  packet[54] = 0xF0;
  packet[55] = 0x7F;  // volume: infinite
  packet[66] = 1;
  Stream stream(samples::by_code());
  const BatchView& view = stream(packet);
  CHECK(view.record_count == 1);
  CHECK(view.records[0].sequence == kAbsentInt);
  CHECK(view.records[0].ts_event == kAbsentInt);
  CHECK(!has(view.records[0], Slot::volume));
  CHECK(stream.decoder.counters().rejected_values == 3);
}

void test_one_sided_snapshot_clears_only_its_side() {
  Stream stream(samples::by_code());
  Bytes frame = from_hex("291c00010500000009000000");
  const double price = 2015.5;
  frame.resize(12 + 16);
  std::memcpy(&frame[12], &price, 8);
  frame[20] = 100;
  frame[24] = 1;
  const BatchView& view = stream(frame);
  CHECK(view.level_count == 2);
  CHECK(view.levels[0].action == Action::clear && view.levels[0].side == Side::bid);
  CHECK(view.levels[1].price == 2015.5 && view.levels[1].orders == 1);
  CHECK((view.records[0].flags & kFlagDepth) != 0 && (view.records[0].flags & kFlagSnapshot) == 0);
}

void test_flagged_rows_come_bids_first_and_too_many_rows_are_malformed() {
  Stream stream(samples::by_code());
  Bytes frame = from_hex("2a2e000705000000000000000200");
  const auto row = [&frame](std::uint8_t side, std::uint8_t price, float quantity) {
    Bytes bytes(16);
    bytes[0] = side;
    bytes[2] = price;
    std::memcpy(&bytes[10], &quantity, 4);
    bytes[14] = 4;
    frame.insert(frame.end(), bytes.begin(), bytes.end());
  };
  row(0, 200, 0.0F);
  row(1, 100, 5.0F);
  const BatchView& view = stream(frame);
  CHECK(view.level_count == 2);
  CHECK(view.levels[0].side == Side::bid && view.levels[0].price == 1.0 &&
        view.levels[0].action == Action::update);
  CHECK(view.levels[1].side == Side::ask && view.levels[1].price == 2.0 &&
        view.levels[1].action == Action::remove);
  frame[12] = 3;
  CHECK(stream(frame).record_count == 0);
  CHECK(stream.decoder.counters().malformed == 1);
}

void test_control_packets_are_handed_over_with_their_bytes() {
  Stream stream(samples::by_code());
  const BatchView& view = stream(from_hex("07080000000000003205001122"));
  CHECK(view.record_count == 1 && view.records[0].kind == Kind::status);
  CHECK(stream.block.control.size() == 1 && stream.block.control[0].begin == 8 &&
        stream.block.control[0].end == 13);
}

void test_topic_updates_take_name_scale_and_schema_from_the_definition() {
  Stream stream(samples::by_topic());
  stream.decoder.bind_text("sf|a", 4);
  const BatchView& view =
      stream(from_hex("0000060000000100035300050473667c6103000003e8000000078000000000000001020000005500"
                      "0501000003e95500630100000001"));
  CHECK(view.record_count == 2);
  CHECK(value(view.records[0], Slot::last_price) == 10.0);
  CHECK(view.records[0].instrument == 4);
  CHECK(view.records[0].ts_event == kAbsentInt);
  CHECK(value(view.records[1], Slot::last_price) == 10.01);
  CHECK(value(view.records[1], Slot::volume) == 7.0);
  CHECK(view.records[1].changed == 1u);
  CHECK(stream.decoder.counters().undefined_topics == 1);
  CHECK(stream.decoder.count() == 1);
}

void test_frames_of_another_type_are_control_whole() {
  Stream stream(samples::by_topic());
  CHECK(stream(from_hex("000001000000000000")).record_count == 0);
  CHECK(stream.block.control.size() == 1 && stream.block.control[0].end == 9);
  CHECK(stream.decoder.counters().malformed == 0);
}

void test_merged_records_beyond_the_cap_are_counted_not_kept() {
  Stream merging(samples::by_code());
  Bytes frame = from_hex("050c00010500000007000000");
  for (std::uint32_t key = 0; key < packed::Decoder::kMaxMerged + 10; ++key) {
    std::memcpy(&frame[4], &key, 4);
    CHECK(merging(frame).record_count == 1);
  }
  CHECK(merging.decoder.counters().table_full == 10);
}

void test_key_map_finds_what_was_put_and_forgets_what_was_erased() {
  KeyMap map;
  for (std::int32_t i = 0; i < 5000; ++i) {
    map.put(std::int64_t{i} * 65536, i);
  }
  for (std::int32_t i = 0; i < 5000; i += 2) {
    CHECK(map.erase(std::int64_t{i} * 65536));
  }
  CHECK(!map.erase(-1));
  CHECK(map.size() == 2500);
  for (std::int32_t i = 0; i < 5000; ++i) {
    const std::int32_t* const found = map.find(std::int64_t{i} * 65536);
    CHECK(i % 2 == 0 ? found == nullptr : found != nullptr && *found == i);
  }
}

void test_what_cannot_be_is_refused_with_its_place() {
  packed::StreamSpec spec = samples::by_length();
  spec.layouts[0].fields[0].offset = 5;
  std::string said;
  try {
    (void)packed::compile(spec);
  } catch (const std::invalid_argument& error) {
    said = error.what();
  }
  CHECK(said.find("stream 'by_length': layout 'brief': field 'last_price'") != std::string::npos);
  CHECK(said.find("found offset 5 and 4 bytes") != std::string::npos);
}

}  // namespace

int main() {
  return run_tests({
      TEST_CASE(test_price_is_divided_by_the_divisor_of_its_segment),
      TEST_CASE(test_a_promised_count_reserves_no_more_than_the_bytes_allow),
      TEST_CASE(test_packets_before_a_truncated_one_are_kept),
      TEST_CASE(test_packet_of_unknown_length_is_skipped_counted_and_handed_over),
      TEST_CASE(test_padding_rows_make_no_levels_and_an_empty_side_no_top_of_book),
      TEST_CASE(test_runs_of_like_packets_equal_packets_decoded_alone),
      TEST_CASE(test_levels_read_later_equal_levels_read_at_once),
      TEST_CASE(test_levels_that_were_left_are_read_before_the_next_frame),
      TEST_CASE(test_length_that_does_not_cover_itself_ends_the_frame),
      TEST_CASE(test_partial_updates_are_laid_over_what_came_before),
      TEST_CASE(test_mantissas_beyond_two_to_the_53_are_rounded_once),
      TEST_CASE(test_times_and_numbers_beyond_int64_are_absent_and_counted),
      TEST_CASE(test_one_sided_snapshot_clears_only_its_side),
      TEST_CASE(test_flagged_rows_come_bids_first_and_too_many_rows_are_malformed),
      TEST_CASE(test_control_packets_are_handed_over_with_their_bytes),
      TEST_CASE(test_topic_updates_take_name_scale_and_schema_from_the_definition),
      TEST_CASE(test_frames_of_another_type_are_control_whole),
      TEST_CASE(test_merged_records_beyond_the_cap_are_counted_not_kept),
      TEST_CASE(test_key_map_finds_what_was_put_and_forgets_what_was_erased),
      TEST_CASE(test_what_cannot_be_is_refused_with_its_place),
  });
}

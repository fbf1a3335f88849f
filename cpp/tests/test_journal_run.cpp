#include <cstring>
#include <string>
#include <vector>

#include "check.hpp"
#include "dragoman/crc32c.hpp"
#include "dragoman/journal_run.hpp"

namespace {

using dragoman::Hash16;
using dragoman::JournalRun;

constexpr std::uint16_t kOpen = 1;
constexpr std::uint16_t kIntent = 2;

template <class T>
void put(std::vector<std::byte>& bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

/// Append a record to a chunk, and return its hash.
Hash16 append(std::vector<std::byte>& chunk, std::uint64_t sequence, std::uint32_t epoch, std::uint16_t kind,
              const Hash16& previous, const std::string& payload) {
  const std::size_t padded = (payload.size() + 7) & ~std::size_t{7};
  std::vector<std::byte> record(56 + padded);
  put(record, 4, static_cast<std::uint32_t>(payload.size()));
  put(record, 8, sequence);
  put(record, 16, static_cast<std::int64_t>(1000 + sequence));
  put(record, 24, epoch);
  put(record, 28, kind);
  std::memcpy(record.data() + 40, previous.data(), previous.size());
  std::memcpy(record.data() + 56, payload.data(), payload.size());
  put(record, 0, dragoman::crc32c(record.data() + 4, record.size() - 4));
  chunk.insert(chunk.end(), record.begin(), record.end());
  return dragoman::blake2b_16(record.data(), record.size());
}

std::vector<std::byte> three_records(Hash16& last) {
  std::vector<std::byte> chunk;
  last = append(chunk, 1, 7, kIntent, Hash16{}, "{}");
  last = append(chunk, 2, 7, kIntent, last, "{\"a\":1}");
  last = append(chunk, 3, 7, kIntent, last, std::string(300, 'x'));
  return chunk;
}

// RFC 7693 has a vector for 64 bytes only; these are of its reference implementation with 16.
void test_hashes_of_known_messages() {
  const auto hex = [](const std::string& text) {
    std::string out;
    for (const auto byte : dragoman::blake2b_16(text.data(), text.size())) {
      const char* digits = "0123456789abcdef";
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
    return out;
  };
  CHECK(hex("") == "cae66941d9efbd404e4d88758ea67670");
  CHECK(hex("abc") == "cf4ab791c62b8d2b2109c90275287816");
}

void test_a_run_ends_with_the_records() {
  Hash16 last;
  auto chunk = three_records(last);
  const std::size_t end = chunk.size();
  chunk.resize(end + 200);
  const auto run = dragoman::journal_run(chunk, {}, 7, kOpen);
  CHECK(run.count == 3 && run.sequence == 3 && run.offset == end);
  CHECK(run.hash == last && run.newest_ns == 1003 && run.kind == kIntent);
}

void test_it_stops_before_what_does_not_follow() {
  Hash16 last;
  const auto chunk = three_records(last);
  JournalRun from;
  from.sequence = 1;
  CHECK(dragoman::journal_run(chunk, from, 7, kOpen).count == 0);
  CHECK(dragoman::journal_run(chunk, {}, 8, kOpen).count == 0);
  CHECK(dragoman::journal_run(chunk, {}, 7, kIntent).count == 0);
  from = {};
  from.hash[3] = 1;
  CHECK(dragoman::journal_run(chunk, from, 7, kOpen).count == 0);
}

void test_any_flipped_bit_and_any_cut_ends_the_run_before_that_record() {
  Hash16 last;
  auto chunk = three_records(last);
  const auto ends = {std::size_t{64}, std::size_t{128}, chunk.size()};
  for (std::size_t at = 0; at < chunk.size(); ++at) {
    std::uint64_t whole = 0;
    for (const std::size_t end : ends) {
      whole += end <= at ? 1U : 0U;
    }
    for (unsigned bit = 0; bit < 8; ++bit) {
      chunk[at] ^= std::byte{1} << bit;
      CHECK(dragoman::journal_run(chunk, {}, 7, kOpen).count == whole);
      chunk[at] ^= std::byte{1} << bit;
    }
    const std::vector<std::byte> cut(chunk.begin(), chunk.begin() + static_cast<std::ptrdiff_t>(at));
    CHECK(dragoman::journal_run(cut, {}, 7, kOpen).count == whole);
  }
}

void test_lengths_beyond_the_chunk_are_not_followed() {
  std::vector<std::byte> chunk(64);
  for (const std::uint32_t length : {9U, 0xFFFFFFFFU, 0xFFFFFFF9U, 0x7FFFFFFFU}) {
    put(chunk, 4, length);
    CHECK(dragoman::journal_run(chunk, {}, 0, kOpen).count == 0);
  }
  JournalRun from;
  for (const std::size_t offset : {std::size_t{9}, std::size_t{64}, std::size_t{65}, ~std::size_t{0}}) {
    from.offset = offset;
    CHECK(dragoman::journal_run(chunk, from, 0, kOpen).offset == offset);
  }
}

}  // namespace

int main() {
  return run_tests({
      TEST_CASE(test_hashes_of_known_messages),
      TEST_CASE(test_a_run_ends_with_the_records),
      TEST_CASE(test_it_stops_before_what_does_not_follow),
      TEST_CASE(test_any_flipped_bit_and_any_cut_ends_the_run_before_that_record),
      TEST_CASE(test_lengths_beyond_the_chunk_are_not_followed),
  });
}

#include <array>
#include <cstring>

#include "check.hpp"
#include "dragoman/crc32c.hpp"

namespace {

using dragoman::crc32c;
using dragoman::crc32c_tables;

// RFC 3720, appendix B.4, and the check value of the catalogue of CRC algorithms.
void test_published_values() {
  std::array<unsigned char, 32> bytes{};
  CHECK(crc32c(bytes.data(), bytes.size()) == 0x8A9136AAU);
  bytes.fill(0xFF);
  CHECK(crc32c(bytes.data(), bytes.size()) == 0x62A8AB43U);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<unsigned char>(i);
  }
  CHECK(crc32c(bytes.data(), bytes.size()) == 0x46DD794EU);
  CHECK(crc32c("123456789", 9) == 0xE3069283U);
  CHECK(crc32c("", 0) == 0U);
}

void test_tables_and_instruction_agree_at_every_length_and_alignment() {
  std::array<unsigned char, 96> bytes{};
  unsigned char next = 7;
  for (auto& byte : bytes) {
    next = static_cast<unsigned char>(next * 73 + 41);
    byte = next;
  }
  for (std::size_t from = 0; from < 9; ++from) {
    for (std::size_t size = 0; size + from <= bytes.size(); ++size) {
      CHECK(crc32c(bytes.data() + from, size) == crc32c_tables(bytes.data() + from, size));
    }
  }
}

void test_a_seed_continues_a_checksum() {
  const char* text = "the quick brown fox jumps over the lazy dog";
  const std::size_t size = std::strlen(text);
  for (std::size_t cut = 0; cut <= size; ++cut) {
    CHECK(crc32c(text + cut, size - cut, crc32c(text, cut)) == crc32c(text, size));
    CHECK(crc32c_tables(text + cut, size - cut, crc32c_tables(text, cut)) == crc32c(text, size));
  }
}

}  // namespace

int main() {
  return run_tests({
      TEST_CASE(test_published_values),
      TEST_CASE(test_tables_and_instruction_agree_at_every_length_and_alignment),
      TEST_CASE(test_a_seed_continues_a_checksum),
  });
}

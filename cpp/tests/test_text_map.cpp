#include <map>
#include <random>
#include <string>

#include "check.hpp"
#include "dragoman/text_map.hpp"

using dragoman::TextMap;

namespace {

void table_agrees_with_a_sorted_map_under_puts_and_erasures() {
  // Against std::map, with many texts of equal beginnings, put, replaced and erased in random order.
  TextMap map;
  std::map<std::string, std::int32_t> expected;
  std::mt19937 random(7);
  for (int step = 0; step < 200'000; ++step) {
    std::string text = "SEGMENT_" + std::to_string(random() % 3000);
    text.resize(text.size() + random() % 3, 'x');
    if (random() % 3 == 0) {
      CHECK(map.erase(text) == (expected.erase(text) == 1));
    } else {
      map.put(text, step);
      expected[text] = step;
    }
  }
  CHECK(map.size() == expected.size());
  for (const auto& [text, value] : expected) {
    const std::int32_t* const found = map.find(text);
    CHECK(found != nullptr && *found == value);
  }
  CHECK(map.find("") == nullptr);
  map.put("", 5);
  CHECK(*map.find("") == 5);
  CHECK(TextMap::number_of("NSE_EQ|INE002A01018") >= 0);
  CHECK(TextMap::number_of("a") != TextMap::number_of(std::string_view("a\0", 2)));
}

}  // namespace

int main() {
  return run_tests({TEST_CASE(table_agrees_with_a_sorted_map_under_puts_and_erasures)});
}

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

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

void hints_right_wrong_and_stale_find_what_is_there() {
  TextMap map;
  std::vector<std::string> texts;
  std::vector<std::uint32_t> hints(600, 0xFFFFFFFFu);
  for (int i = 0; i < 600; ++i) {
    texts.push_back("NSE_FO|" + std::to_string(i % 7 == 0 ? i : 100'000 + i));
    map.put(texts.back(), i);
  }
  for (int round = 0; round < 4; ++round) {
    bool trust = true;
    for (int i = 0; i < 600; ++i) {
      const std::int32_t* const found = map.find(texts[i], hints[i], trust);
      CHECK(found != nullptr && *found == i);
    }
    CHECK(trust == (round % 2 == 1));
    if (round == 1) {
      std::rotate(hints.begin(), hints.begin() + 1, hints.end());
      CHECK(map.erase("NSE_FO|7"));
      map.put("NSE_FO|7", 7);
    }
  }
  std::uint32_t hint = hints[0];
  bool trust = true;
  CHECK(map.find("absent", hint, trust) == nullptr);
  CHECK(!trust && hint == hints[0]);
}

}  // namespace

int main() {
  return run_tests({TEST_CASE(table_agrees_with_a_sorted_map_under_puts_and_erasures),
                    TEST_CASE(hints_right_wrong_and_stale_find_what_is_there)});
}

#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "dragoman/journal_queue.hpp"
#include "dragoman/journal_run.hpp"

namespace {

using dragoman::Hash16;
using dragoman::JournalQueue;
using Changes = std::vector<std::pair<std::uint64_t, std::string_view>>;

constexpr std::uint16_t kOpen = 1;
constexpr std::uint16_t kIntent = 2;
constexpr std::uint16_t kRefused = 9;

JournalQueue queue_of(std::initializer_list<std::string_view> payloads) {
  JournalQueue queue(3, "7Q1M9", 0, Hash16{});
  for (const std::string_view payload : payloads) {
    queue.put(kIntent, 1000, payload);
  }
  return queue;
}

/// How many records of these bytes follow one another, after the record with that number and hash.
std::uint64_t followed(const std::string& bytes, std::uint64_t sequence = 0, const Hash16& hash = {}) {
  dragoman::JournalRun from;
  from.sequence = sequence;
  from.hash = hash;
  const auto* data = reinterpret_cast<const std::byte*>(bytes.data());
  return dragoman::journal_run({data, bytes.size()}, from, 3, kOpen).count;
}

void test_what_is_taken_in_parts_is_one_chain() {
  JournalQueue queue = queue_of({"{}", "{\"a\":1}", std::string(300, 'x')});
  const std::size_t two = 2 * dragoman::journal_record_size(8);
  CHECK(queue.fitting(two - 1) == two / 2);
  CHECK(queue.fitting(0) == 0);
  std::string all(queue.take(queue.fitting(two)));
  CHECK(all.size() == two && queue.on_way() == 2 && queue.waiting() == 1 && queue.durable() == 0);
  queue.put(kIntent, 1001, "later");
  all += queue.take(queue.fitting(10'000));
  CHECK(followed(all) == 4);
  queue.settle();
  CHECK(queue.durable() == 4 && queue.bytes() == 0);
}

void test_what_is_given_back_is_taken_again_with_what_came_since() {
  JournalQueue queue = queue_of({"aa", "bb"});
  queue.settle();
  CHECK(queue.durable() == 0);
  const Hash16 before = queue.hash();
  CHECK(queue.take(queue.bytes_waiting()).size() == queue.bytes());
  queue.put(kIntent, 1001, "cc");
  queue.give_back(before);
  CHECK(queue.waiting() == 3 && queue.on_way() == 0);
  CHECK(followed(std::string(queue.take(queue.bytes_waiting()))) == 3);
}

void test_those_that_wait_can_become_others_of_any_length() {
  JournalQueue queue = queue_of({"aa", "bb", "cc", "dd"});
  std::string all(queue.take(queue.fitting(dragoman::journal_record_size(2))));
  const std::string longer(200, 'y');
  queue.replace(kRefused, Changes{{0, "none"}, {1, "on its way"}, {2, longer}, {4, "{}"}, {9, "none"}});
  CHECK(queue.at(0).payload == "aa" && queue.at(0).kind == kIntent);
  const auto second = queue.at(queue.bytes_on_way());
  CHECK(second.payload == longer && second.kind == kRefused && second.sequence == 2 &&
        second.time_ns == 1000);
  const auto third = queue.at(queue.bytes_on_way() + second.size);
  CHECK(third.payload == "cc" && third.kind == kIntent && third.sequence == 3);
  all += queue.take(queue.bytes_waiting());
  CHECK(followed(all) == 4);
}

void test_numbers_go_on_after_all_was_let_go() {
  JournalQueue queue = queue_of({"aa", std::string(100'000, 'z')});
  queue.clear();
  CHECK(queue.count() == 0 && queue.bytes() == 0 && queue.durable() == 0);
  const Hash16 hash = queue.hash();
  queue.put(kIntent, 1, "cc");
  CHECK(queue.sequence() == 3);
  CHECK(followed(std::string(queue.take(queue.bytes_waiting())), 2, hash) == 1);
}

}  // namespace

int main() {
  return run_tests({
      TEST_CASE(test_what_is_taken_in_parts_is_one_chain),
      TEST_CASE(test_what_is_given_back_is_taken_again_with_what_came_since),
      TEST_CASE(test_those_that_wait_can_become_others_of_any_length),
      TEST_CASE(test_numbers_go_on_after_all_was_let_go),
  });
}

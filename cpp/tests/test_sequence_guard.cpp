#include "check.hpp"
#include "dragoman/sequence_guard.hpp"

namespace {

using dragoman::SequenceGuard;
using Verdict = SequenceGuard::Verdict;

void test_messages_in_order_follow() {
  SequenceGuard guard;
  CHECK(guard.check(0, 1) == Verdict::kFollows);
  CHECK(guard.check(1, 4) == Verdict::kFollows);
  CHECK(guard.last() == 4);
}

void test_a_gap_stays_until_a_reset() {
  SequenceGuard guard;
  guard.reset(10);
  CHECK(guard.check(11, 12) == Verdict::kGap);
  CHECK(guard.check(12, 13) == Verdict::kGap);
  CHECK(guard.last() == 10);
  guard.reset(13);
  CHECK(guard.check(13, 14) == Verdict::kFollows);
}

void test_old_messages_are_duplicates_and_overlapping_ones_follow() {
  SequenceGuard guard;
  guard.reset(10);
  CHECK(guard.check(8, 9) == Verdict::kDuplicate);
  CHECK(guard.check(9, 10) == Verdict::kDuplicate);
  CHECK(guard.check(8, 12) == Verdict::kFollows);
  CHECK(guard.last() == 12);
}

void test_a_chain_may_restart_its_numbers() {
  SequenceGuard guard;
  guard.reset(15);
  CHECK(guard.check(15, 3) == Verdict::kFollows);
  CHECK(guard.check(3, 5) == Verdict::kFollows);
}

void test_adopting_takes_one_message_as_it_comes() {
  SequenceGuard guard;
  guard.adopt();
  CHECK(guard.check(70, 75) == Verdict::kFollows);
  CHECK(guard.check(76, 77) == Verdict::kGap);
}

}  // namespace

int main() {
  return run_tests({
      TEST_CASE(test_messages_in_order_follow),
      TEST_CASE(test_a_gap_stays_until_a_reset),
      TEST_CASE(test_old_messages_are_duplicates_and_overlapping_ones_follow),
      TEST_CASE(test_a_chain_may_restart_its_numbers),
      TEST_CASE(test_adopting_takes_one_message_as_it_comes),
  });
}

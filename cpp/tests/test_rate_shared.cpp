#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "../src/rate_lease.hpp"
#include "check.hpp"
#include "dragoman/rate_shared.hpp"

// A holder killed at any instruction, and the file's life. tests/property and tests/chaos have the rest.

namespace {

using namespace dragoman;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kDay = 86'400 * kSecond;

const std::vector<Meter> kMeters{{"second", 10, kSecond, Window::rolling, 2},
                                 {"minute", 40, 60 * kSecond, Window::bucket, 0},
                                 {"day", 50, kDay, Window::calendar, 5}};
const std::vector<RateLimiter::Cost> kCosts{{"second", 2}, {"minute", 2}, {"day", 2}};

std::string file_path() {
  return (std::filesystem::temp_directory_path() / ("rate_shared_" + std::to_string(::getpid()) + ".rates"))
      .string();
}

SharedRateLimiter opened(const std::string& path, const std::string& boot = "boot", std::int64_t mono = 0,
                         std::int64_t wall = 0) {
  return {path, kMeters, 0, mono, wall, boot};
}

std::vector<std::int64_t> used(SharedRateLimiter& limiter, std::int64_t mono) {
  std::vector<MeterUse> uses(kMeters.size());
  CHECK(limiter.use(mono, mono, uses) == 0);
  return {uses[0].used, uses[1].used, uses[2].used};
}

enum class Act { take, refund, lease };

std::int64_t perform(SharedRateLimiter& limiter, std::size_t plan, Act act) {
  if (act == Act::lease) return limiter.lease(3) < 0;
  return act == Act::refund ? limiter.refund(plan, 20, Lane::normal)
                            : limiter.try_acquire(20, 20, plan, Lane::normal);
}

/// Let a child take a grant or a lease, or give a grant back, and stop it after that many instructions.
/// @return the instructions it took; -1 where it was stopped first, -2 where tracing is not allowed
std::int64_t stopped_after(const std::string& path, std::int64_t instructions, Act act, pid_t& child) {
  child = ::fork();
  if (child == 0) {
    SharedRateLimiter limiter = opened(path);
    const std::size_t plan = limiter.plan(kCosts);
    if (act == Act::refund && limiter.try_acquire(20, 20, plan, Lane::normal) != 0) ::_exit(3);
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(4);
    ::raise(SIGSTOP);
    const std::int64_t result = perform(limiter, plan, act);
    ::raise(SIGSTOP);
    ::_exit(result == 0 ? 0 : 5);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFSTOPPED(status)) return -2;
  std::int64_t done = -1;
  for (std::int64_t i = 0; i < instructions; ++i) {
    if (::ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) != 0) break;
    ::waitpid(child, &status, 0);
    if (!WIFSTOPPED(status) || WSTOPSIG(status) == SIGSTOP) {
      done = i;
      break;
    }
  }
  return done;
}

void kill_child(pid_t child) {
  int status = 0;
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
}

std::int64_t killed_after(const std::string& path, std::int64_t instructions, Act act) {
  pid_t child = 0;
  const std::int64_t done = stopped_after(path, instructions, act, child);
  if (done != -2) kill_child(child);
  return done;
}

void kill_at_every_stage(Act act) {
  const bool refund = act == Act::refund;
  const std::string path = file_path();
  const std::vector<std::int64_t> base{4, 4, 4};
  const std::vector<std::int64_t> more{6, 6, 6};
  const auto prepare = [&] {
    std::filesystem::remove(path);
    SharedRateLimiter limiter = opened(path);
    const std::size_t plan = limiter.plan(kCosts);
    for (const std::int64_t now : {5, 10}) CHECK(limiter.try_acquire(now, now, plan, Lane::normal) == 0);
  };
  prepare();
  const std::int64_t whole = killed_after(path, 1'000'000, act);
  if (whole == -2) {
    std::printf("     (tracing is not allowed here; nothing was killed)\n");
    return;
  }
  CHECK(whole > 100);
  int before = 0;
  int after = 0;
  std::int64_t recovered = 0;
  bool live = false;
  for (std::int64_t at = 0; at <= whole; at += std::max<std::int64_t>(1, whole / 80)) {
    prepare();
    live = !live;  // somebody else has the file open; else the next opener is alone
    std::unique_ptr<SharedRateLimiter> peer;
    if (live) peer = std::make_unique<SharedRateLimiter>(path, kMeters, 0, 0, 0, "boot");
    CHECK(killed_after(path, at, act) == -1 || at == whole);
    if (!live) peer = std::make_unique<SharedRateLimiter>(path, kMeters, 0, 0, 0, "boot");
    const std::vector<std::int64_t> found = used(*peer, 40);
    CHECK(found == base || found == more);
    (found == (refund ? more : base) ? before : after) += 1;
    recovered += peer->recoveries();
    const std::size_t plan = peer->plan(kCosts);
    CHECK(peer->try_acquire(40, 40, plan, Lane::normal) == 0);
    CHECK(used(*peer, 40)[0] == found[0] + 2);
  }
  CHECK(before > 5);
  CHECK(after > 0);
  CHECK(recovered > 5);
  std::filesystem::remove(path);
}

void test_a_holder_killed_at_any_instruction_took_all_or_nothing() {
  kill_at_every_stage(Act::take);
}
void test_a_holder_killed_at_any_instruction_gave_back_all_or_nothing() {
  kill_at_every_stage(Act::refund);
}

void test_a_holder_that_is_stopped_blocks_nobody_for_ever_and_its_death_frees_the_lock() {
  const std::string path = file_path();
  std::filesystem::remove(path);
  const std::int64_t whole = killed_after(path, 1'000'000, Act::take);
  if (whole == -2) return;
  SharedRateLimiter peer = opened(path);
  const std::size_t plan = peer.plan(kCosts);
  pid_t child = 0;
  CHECK(stopped_after(path, whole / 2, Act::take, child) == -1);
  CHECK(peer.try_acquire(40, 40, plan, Lane::normal) == SharedRateLimiter::kBusy);
  kill_child(child);
  CHECK(peer.try_acquire(40, 40, plan, Lane::normal) == 0);
  CHECK(peer.recoveries() == 1);
  std::filesystem::remove(path);
}

template <class Body>
std::string refusal(Body&& body) {
  try {
    body();
  } catch (const SharedStateError& error) {
    return error.what();
  }
  return {};
}

void test_a_file_that_cannot_be_trusted_is_refused_and_left_as_it_is() {
  const std::string path = file_path();
  std::filesystem::remove(path);
  (void)opened(path);
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(path));
  std::vector<char> good(static_cast<std::size_t>(size));
  std::ifstream(path, std::ios::binary).read(good.data(), size);
  const auto with = [&](std::vector<char> bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    const std::string found = refusal([&] { (void)opened(path); });
    std::vector<char> after(bytes.size());
    std::ifstream(path, std::ios::binary).read(after.data(), static_cast<std::streamsize>(after.size()));
    CHECK(after == bytes);
    return found;
  };
  std::vector<char> bad = good;
  bad[8] = 9;
  CHECK(with(bad).find("version 9, expected 2") != std::string::npos);
  bad[8] = 1;
  bad.resize(3000);  // the first version had a shorter head, and is still told by its number
  CHECK(with(bad).find("version 1, expected 2; stop the processes that use it and remove it") !=
        std::string::npos);
  bad = good;
  bad[40] ^= 1;
  CHECK(with(bad).find("damaged") != std::string::npos);
  bad = good;
  bad[0] = 'x';
  CHECK(with(bad).find("no file of rate limits") != std::string::npos);
  for (const std::size_t cut : {std::size_t{5}, std::size_t{100}, good.size() / 2, good.size() - 1}) {
    CHECK(!with({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(cut)}).empty());
  }
  CHECK(with(good).empty());
  CHECK(refusal([&] { SharedRateLimiter(path, {kMeters[0]}, 0, 0, 0, "boot"); }).find("counts 'second 10") !=
        std::string::npos);
  ::chmod(path.c_str(), 0644);
  CHECK(refusal([&] { (void)opened(path); }).find("mode 0600") != std::string::npos);
  std::filesystem::remove(path);
}

void test_a_restart_of_the_machine_keeps_the_day_and_fills_the_rest() {
  const std::string path = file_path();
  std::filesystem::remove(path);
  const std::int64_t noon = 20'000 * kDay + kDay / 2;
  {
    SharedRateLimiter limiter = opened(path, "one", 7 * kDay, noon);
    CHECK(limiter.try_acquire(7 * kDay, noon, limiter.plan(kCosts), Lane::normal) == 0);
  }
  {
    // Down for an hour, up for half a second.
    SharedRateLimiter limiter = opened(path, "two", kSecond / 2, noon + 3600 * kSecond);
    std::vector<MeterUse> uses(3);
    CHECK(limiter.use(kSecond / 2, noon + 3600 * kSecond, uses) == 0);
    CHECK(uses[0].used == 10 && uses[0].reset_ns == kSecond / 2);
    CHECK(uses[1].used == 40);
    CHECK(uses[2].used == 2);
    CHECK(limiter.use(kDay / 2, noon + kDay / 2 + 1, uses) == 0);
    CHECK(uses[2].used == 0);  // another day of the broker's
  }
  {
    // The wall clock came up a year early: nothing of the day is forgotten.
    SharedRateLimiter limiter = opened(path, "three", kSecond, noon - 365 * kDay);
    std::vector<MeterUse> uses(3);
    CHECK(limiter.use(kSecond, noon - 365 * kDay, uses) == 0);
    CHECK(uses[2].used == 2);
  }
  std::filesystem::remove(path);
}

void test_a_forked_childs_handle_refuses_and_leaves_its_parents_tickets() {
  const std::string path = file_path();
  std::filesystem::remove(path);
  SharedRateLimiter limiter = opened(path);
  const std::size_t plan = limiter.plan({{"second", 8}});
  CHECK(limiter.try_acquire(0, 0, plan, Lane::normal) == 0);
  CHECK(limiter.try_acquire(1, 1, plan, Lane::normal, 1) > 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const bool refused = limiter.try_acquire(0, 0, plan, Lane::normal) == SharedRateLimiter::kForked &&
                         limiter.leave(plan, Lane::normal) == SharedRateLimiter::kForked &&
                         limiter.lease(9) == SharedRateLimiter::kForked;
    ::_exit(refused ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(status == 0);
  SharedRateLimiter other = opened(path);
  const std::size_t one = other.plan({{"second", 1}});
  CHECK(other.try_acquire(kSecond, kSecond, one, Lane::normal) == SharedRateLimiter::kPoll);
  CHECK(other.try_acquire(kSecond, kSecond, one, Lane::risk) == 0);
  std::filesystem::remove(path);
}

std::int64_t held(SharedRateLimiter& limiter, std::int64_t pid = ::getpid()) {
  std::vector<LeaseHolder> holders;
  CHECK(limiter.lease_holders(holders) == 0);
  for (const LeaseHolder& holder : holders) {
    if (holder.pid == pid) return holder.held;
  }
  return 0;
}

void test_leases_are_counted_over_all_handles_and_freed_with_them() {
  const std::string path = file_path();
  std::filesystem::remove(path);
  SharedRateLimiter one = opened(path);
  {
    SharedRateLimiter two = opened(path);
    CHECK(one.lease(3) == 0);
    CHECK(two.lease(3) == 1);
    CHECK(two.lease(3) == 2);
    CHECK(one.lease(3) == SharedRateLimiter::kNoLease);
    CHECK(held(one) == 3);
    CHECK(one.release(1) == 0);  // not its own
    CHECK(one.release(63) == 0);
    CHECK(held(two) == 3);
    CHECK(two.release(1) == 0);
    CHECK(one.lease(3) == 1);
    CHECK(one.lease(4) == 3);
  }
  CHECK(held(one) == 3);
  CHECK(one.lease(64) == 2);
  CHECK(one.lease(0) == SharedRateLimiter::kNoLease);
  for (std::int64_t number = 4; number < SharedRateLimiter::kMaxLeases; ++number)
    CHECK(one.lease(64) == number);
  CHECK(one.lease(64) == SharedRateLimiter::kNoLease);
  std::filesystem::remove(path);
}

void test_a_lease_of_a_dead_process_is_taken_back_and_one_of_a_stopped_process_is_not() {
  const std::string path = file_path();
  std::filesystem::remove(path);
  SharedRateLimiter peer = opened(path);
  const pid_t child = ::fork();
  if (child == 0) {
    SharedRateLimiter limiter = opened(path);
    const bool both = limiter.lease(3) == 0 && limiter.lease(3) == 1;
    if (both) ::raise(SIGSTOP);
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, WUNTRACED);
  CHECK(WIFSTOPPED(status));
  CHECK(held(peer, child) == 2);
  CHECK(peer.lease(3) == 2);
  CHECK(peer.lease(3) == SharedRateLimiter::kNoLease);
  ::kill(child, SIGKILL);
  siginfo_t ended{};
  ::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT);
  CHECK(held(peer, child) == 0);  // a zombie still, its sockets are closed
  CHECK(peer.lease(3) == 0);
  ::waitpid(child, &status, 0);
  std::filesystem::remove(path);
}

void test_a_lease_of_an_earlier_process_with_the_same_id_is_taken_back() {
  const std::int64_t pid = ::getpid();
  const std::int64_t start = process_start(pid);
  CHECK(start > 0);
  CHECK(process_start(1) >= 0);
  LeaseTable table{};
  table.places[0] = {7, pid, start - 1};
  table.places[1] = {8, pid, start};
  table.places[2] = {9, pid, 0};  // the kernel did not say then: its id must do
  CHECK(table.take(1, 2) == LeaseTable::kNone);
  CHECK(table.places[0].owner == 0);
  CHECK(table.take(1, 3) == 0);
  CHECK(table.places[0].start == start);
  table.free(2, 0);
  CHECK(table.places[0].owner == 1);
}

void test_a_process_killed_while_it_leases_leaves_all_places_to_others() {
  const std::string path = file_path();
  std::filesystem::remove(path);
  const std::int64_t whole = killed_after(path, 1'000'000, Act::lease);
  if (whole == -2) return;
  CHECK(whole > 100);
  SharedRateLimiter peer = opened(path);
  const std::int64_t stage = std::max<std::int64_t>(1, whole / 30);
  for (std::int64_t at = 0; at <= whole; at += stage) {
    // What the system tells of a process is not always read in as many steps: one that is done already is
    // killed sooner, within the same stage.
    std::int64_t killed_at = at;
    while (killed_after(path, killed_at, Act::lease) != -1 && killed_at != whole) {
      CHECK(at - --killed_at < stage);
    }
    for (std::int64_t number = 0; number < 3; ++number) CHECK(peer.lease(3) == number);
    CHECK(peer.lease(3) == SharedRateLimiter::kNoLease);
    for (std::int64_t number = 0; number < 3; ++number) CHECK(peer.release(number) == 0);
  }
  CHECK(peer.recoveries() > 5);
  std::filesystem::remove(path);
}

}  // namespace

int main() {
  return run_tests({
      TEST_CASE(test_a_holder_killed_at_any_instruction_took_all_or_nothing),
      TEST_CASE(test_a_holder_killed_at_any_instruction_gave_back_all_or_nothing),
      TEST_CASE(test_a_holder_that_is_stopped_blocks_nobody_for_ever_and_its_death_frees_the_lock),
      TEST_CASE(test_a_file_that_cannot_be_trusted_is_refused_and_left_as_it_is),
      TEST_CASE(test_a_restart_of_the_machine_keeps_the_day_and_fills_the_rest),
      TEST_CASE(test_a_forked_childs_handle_refuses_and_leaves_its_parents_tickets),
      TEST_CASE(test_leases_are_counted_over_all_handles_and_freed_with_them),
      TEST_CASE(test_a_lease_of_a_dead_process_is_taken_back_and_one_of_a_stopped_process_is_not),
      TEST_CASE(test_a_lease_of_an_earlier_process_with_the_same_id_is_taken_back),
      TEST_CASE(test_a_process_killed_while_it_leases_leaves_all_places_to_others),
  });
}

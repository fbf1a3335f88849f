#include "rate_lease.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace dragoman {

namespace {

/// The start time stands this many fields behind the process's state; proc(5), /proc/pid/stat, fields 3
/// and 22.
constexpr int kFieldsToStart = 19;

bool exists(std::int64_t pid) noexcept {
  return ::kill(static_cast<pid_t>(pid), 0) == 0 || errno != ESRCH;
}

bool lives(const Lease& lease) noexcept {
  const std::int64_t start = process_start(lease.pid);
  return start == 0 || lease.start == 0 ? start >= 0 : start == lease.start;
}

}  // namespace

std::int64_t process_start(std::int64_t pid) noexcept {
  char path[40];
  std::snprintf(path, sizeof path, "/proc/%lld/stat", static_cast<long long>(pid));
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return exists(pid) ? 0 : -1;
  char text[1024];
  const ssize_t got = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (got <= 0) return exists(pid) ? 0 : -1;  // it ended between the two calls, or says nothing
  text[got] = '\0';
  // The name in brackets may hold brackets and blanks itself, but nothing after it does.
  const char* at = std::strrchr(text, ')');
  if (at == nullptr || at[1] != ' ') return 0;
  at += 2;
  if (*at == 'Z' || *at == 'X') return -1;  // all it held is closed; only its exit status is left
  for (int field = 0; field < kFieldsToStart; ++field) {
    at = std::strchr(at, ' ');
    if (at == nullptr) return 0;
    ++at;
  }
  return std::strtoll(at, nullptr, 10);
}

std::int64_t LeaseTable::take(std::uint64_t owner, std::int64_t most) noexcept {
  free_dead();
  std::int64_t held = 0;
  Lease* place = nullptr;
  for (Lease& lease : places) {
    if (lease.owner != 0) {
      ++held;
    } else if (place == nullptr) {
      place = &lease;
    }
  }
  if (held >= most || place == nullptr) return kNone;
  const pid_t pid = ::getpid();
  const std::int64_t start = process_start(pid);
  place->pid = pid;
  place->start = start > 0 ? start : 0;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  place->owner = owner;
  return place - places.data();
}

void LeaseTable::free(std::uint64_t owner, std::int64_t number) noexcept {
  if (number < 0 || number >= static_cast<std::int64_t>(kPlaces)) return;
  Lease& lease = places[static_cast<std::size_t>(number)];
  if (lease.owner == owner) lease.owner = 0;
}

void LeaseTable::free_all_of(std::uint64_t owner) noexcept {
  for (Lease& lease : places) {
    if (lease.owner == owner) lease.owner = 0;
  }
}

void LeaseTable::free_dead() noexcept {
  for (Lease& lease : places) {
    if (lease.owner != 0 && !lives(lease)) lease.owner = 0;
  }
}

}  // namespace dragoman

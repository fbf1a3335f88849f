#pragma once

#include <pthread.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "rate_lease.hpp"

namespace dragoman {

/// One waiter of one process; `owner` 0 is a free place.
struct Ticket {
  std::uint64_t owner;  // of the handle: random
  std::uint64_t mask;   // of the meters waited for
  std::int64_t lane;
  std::int64_t arrival_ns;
  std::int64_t due_ns;  // when the owner looks again
  std::int64_t pid;
};

/// The head of the shared file; the state's words and the undo record follow.
struct FileHeader {
  std::array<char, 8> magic;  // written last: a file without it was never finished
  std::uint32_t version;
  std::uint32_t carrying;  // not 0 while the state is carried over a restart
  std::uint64_t file_bytes;
  std::uint64_t state_words;
  std::array<char, 48> boot_id;
  std::array<char, 2048> meters;  // the limits in words, for people and for comparing
  std::uint64_t check;            // of all above but the magic and `carrying`
  alignas(64) pthread_mutex_t mutex;
  std::int64_t recoveries;
  std::int64_t undo_count;
  std::int64_t ticket_count;
  std::array<Ticket, 64> tickets;
  LeaseTable leases;
};

/// A file open and locked, and its mapping.
class MappedFile {
 public:
  MappedFile() = default;
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  /// Open and lock: alone where nobody else has it open, else shared with the others.
  /// @throws std::system_error, SharedStateError
  void open(const std::string& path);
  /// Let others in; until then an opener that is alone may change what it likes.
  void share();
  void close() noexcept;
  /// Give the file this size, with disk space behind all of it.
  void allocate(std::size_t bytes);
  void map(std::size_t bytes);

  [[nodiscard]] bool alone() const noexcept { return alone_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  /// The first bytes, without mapping; fewer where the file is shorter.
  [[nodiscard]] std::string head(std::size_t bytes) const;
  [[nodiscard]] std::byte* data() const noexcept { return data_; }

 private:
  bool lock_current();

  std::string path_;
  int fd_ = -1;
  bool alone_ = false;
  std::size_t bytes_ = 0;
  std::size_t mapped_ = 0;
  std::byte* data_ = nullptr;
};

/// The kernel's name of this run of the machine.
std::string kernel_boot_id();
std::uint64_t random_id();

}  // namespace dragoman

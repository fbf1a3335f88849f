#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "dragoman/journal_record.hpp"

namespace dragoman {

/// The records of a journal that wait to be written, in the order of their numbers.
///
/// Theory: a record is laid out as it will lie on the disk when it comes, behind those before it in one
/// buffer; its predecessor's hash and its checksum are put in when it is handed out, and not before, since
/// what is refused meanwhile must leave no trace in the chain. What was handed out is on its way: it stays
/// until it is settled, so that it is still known where the write fails.
///
/// Threads: unsynchronised. Numbers follow one another without a gap.
class JournalQueue {
 public:
  /// One record that is kept.
  struct Entry {
    std::uint64_t sequence;
    std::int64_t time_ns;
    std::uint16_t kind;
    std::string_view payload;
    std::size_t size;  ///< of the record
  };

  /// @param run       five bytes, kept
  /// @param sequence  of the last record on the disk, which is durable
  /// @param previous  its hash
  JournalQueue(std::uint32_t epoch, std::string_view run, std::uint64_t sequence, const Hash16& previous);

  /// Number a record and let it wait. Throws std::bad_alloc, and has not taken it then.
  void put(std::uint16_t kind, std::int64_t time_ns, std::string_view payload);

  /// How many bytes those that wait take, as far as they fit into `room`.
  [[nodiscard]] std::size_t fitting(std::size_t room) const noexcept;

  /// Finish those that wait, from the first on; from now on they are on their way. They are good until the
  /// next call that is not const. @param bytes  what `fitting` said
  [[nodiscard]] std::string_view take(std::size_t bytes) noexcept;

  /// Have all that is on its way wait again, after the record whose hash is given. What was written of it is
  /// not to be relied on.
  void give_back(const Hash16& previous) noexcept;

  /// Let go of what is on its way: it is durable.
  void settle() noexcept;

  /// Let go of everything; numbers go on where they are.
  void clear() noexcept;

  /// Give records that wait another kind and payload. @param changes  by rising number; unknown ones are
  /// passed over. Throws std::bad_alloc, and has changed nothing then.
  void replace(std::uint16_t kind, std::span<const std::pair<std::uint64_t, std::string_view>> changes);

  /// The record that lies at `offset`, from 0 on, what is on its way first: the next is `size` further on.
  [[nodiscard]] Entry at(std::size_t offset) const noexcept;
  [[nodiscard]] std::size_t bytes() const noexcept { return buffer_.size(); }
  [[nodiscard]] std::size_t bytes_on_way() const noexcept { return on_way_bytes_; }
  [[nodiscard]] std::size_t bytes_waiting() const noexcept { return buffer_.size() - on_way_bytes_; }

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] std::size_t on_way() const noexcept { return on_way_; }
  [[nodiscard]] std::size_t waiting() const noexcept { return count_ - on_way_; }

  /// The number given last, and the one up to which all is durable.
  [[nodiscard]] std::uint64_t sequence() const noexcept { return sequence_; }
  [[nodiscard]] std::uint64_t durable() const noexcept { return durable_; }
  /// Of the last record that was handed out.
  [[nodiscard]] const Hash16& hash() const noexcept { return hash_; }

 private:
  void append(std::string& buffer, std::uint16_t kind, std::uint64_t sequence, std::int64_t time_ns,
              std::string_view payload) const;
  void drop(std::size_t bytes) noexcept;

  std::string buffer_;
  std::size_t count_ = 0;
  std::size_t on_way_ = 0;
  std::size_t on_way_bytes_ = 0;
  std::uint64_t sequence_;
  std::uint64_t durable_;
  Hash16 hash_;
  std::string run_;
  std::uint32_t epoch_;
};

}  // namespace dragoman

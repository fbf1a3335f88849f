#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dragoman/record.hpp"

namespace dragoman {

class FrameDecoder;

/// What readers of a decoded frame see: two arrays and three numbers. Owns nothing; valid while its block is.
struct BatchView {
  const Record* records = nullptr;
  std::size_t record_count = 0;
  const Level* levels = nullptr;
  std::size_t level_count = 0;
  std::uint32_t errors = 0;  ///< packets that could not be read: truncated, malformed or of unknown type
  std::int64_t ts_recv = 0;  ///< ns UTC, as the caller of decode gave it
};

/// Bytes of a frame that are not data: [begin, end).
struct ByteRange {
  std::uint32_t begin;
  std::uint32_t end;
};

/// Storage of one decoded frame, used again for the next unless somebody still looks at it.
///
/// The arrays are raw storage that only grows: `reserve` is called once per frame with the worst case, so
/// that decoding itself checks no capacity. Elements are written before they are counted, never constructed.
class Block {
 public:
  /// Make room for that many records and levels; what was there before is lost when it must grow.
  void reserve(std::size_t records, std::size_t levels) {
    if (records > record_capacity_) [[unlikely]] {
      grow_records(records);
    }
    if (levels > level_capacity_) [[unlikely]] {
      grow_levels(levels);
    }
  }

  [[nodiscard]] std::size_t record_capacity() const noexcept { return record_capacity_; }
  [[nodiscard]] std::size_t level_capacity() const noexcept { return level_capacity_; }
  /// Make room for at least one more than `used`, which are kept: for frames whose counts cannot be told
  /// ahead.
  void extend_records(std::size_t used);
  void extend_levels(std::size_t used);

  [[nodiscard]] Record* records() noexcept { return records_.get(); }
  [[nodiscard]] Level* levels() noexcept { return levels_.get(); }

  /// Read the levels that a decoder left (`FrameDecoder::decode_heads`), so that all of `view` is there.
  void read_levels() {
    if (unread != nullptr) [[unlikely]] {
      have_levels_read();
    }
  }

  BatchView view;
  FrameDecoder* unread = nullptr;  ///< whoever left the levels for later; until then `view` has none
  std::vector<ByteRange> control;
  std::size_t frame_size = 0;  ///< frames up to this many bytes are reserved for, by the decoder that owns it

 private:
  void grow_records(std::size_t wanted);
  void grow_levels(std::size_t wanted);
  void have_levels_read();

  std::unique_ptr<Record[]> records_;
  std::unique_ptr<Level[]> levels_;
  std::size_t record_capacity_ = 0;
  std::size_t level_capacity_ = 0;
};

}  // namespace dragoman

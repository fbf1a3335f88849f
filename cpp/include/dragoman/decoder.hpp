#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dragoman/batch.hpp"

namespace dragoman {

/// What a decoder has seen since it was made. Nothing that cannot be read is dropped without a count here.
struct Counters {
  std::uint64_t frames = 0;
  std::uint64_t packets = 0;  ///< messages or packets found in the frames
  std::uint64_t records = 0;
  std::uint64_t unknown_packets = 0;  ///< no layout matches; handed to control
  std::uint64_t truncated = 0;        ///< the frame or packet ends too early
  std::uint64_t malformed = 0;        ///< syntax, lengths, counts, keys or scales that cannot be
  std::uint64_t unbound = 0;          ///< records whose key no instrument is bound to
  std::uint64_t undefined_topics =
      0;  ///< records of a topic that was never defined, or that no schema describes
  std::uint64_t rejected_values =
      0;  ///< NaN, infinities, times beyond int64, digits beyond 15: absent in the record
  std::uint64_t control = 0;
  std::uint64_t table_full = 0;  ///< topics or merged records beyond the caps of the decoder
};

/// The mutable half of a compiled layout, whatever its engine: bindings and memory of one connection.
///
/// Threads: unsynchronised; one connection, one thread.
class FrameDecoder {
 public:
  virtual ~FrameDecoder() = default;

  /// Say which instrument a wire key means; binding again replaces.
  virtual void bind(std::int64_t key, std::int32_t instrument) = 0;
  virtual void unbind(std::int64_t key) = 0;
  /// The same for streams that name instruments or topics by text.
  virtual void bind_text(std::string_view text, std::int32_t instrument) = 0;
  virtual void unbind_text(std::string_view text) = 0;

  /// Decode one frame into `out`, whose former content is gone. Any bytes are accepted. O(size).
  virtual void decode(const std::uint8_t* frame, std::size_t size, std::int64_t ts_recv, Block& out) = 0;

  /// The same, but levels may be left for later, where only records wait: `out.read_levels()` must come
  /// before the frame changes. Tops of book are there at once; `level_begin` and `level_count` come with the
  /// levels.
  virtual void decode_heads(const std::uint8_t* frame, std::size_t size, std::int64_t ts_recv, Block& out) {
    decode(frame, size, ts_recv, out);
  }
  /// Read what `decode_heads` left, into the block it was given; `Block::read_levels` calls it.
  virtual void read_levels() noexcept {}

  /// Number of the last message where the layout counts them, otherwise frames seen.
  [[nodiscard]] virtual std::int64_t count() const noexcept = 0;
  [[nodiscard]] virtual const Counters& counters() const noexcept = 0;
};

/// A compiled description of a stream's messages, whatever its engine. Immutable; shared by its decoders.
class FrameLayout {
 public:
  virtual ~FrameLayout() = default;

  [[nodiscard]] virtual const std::string& stream_name() const noexcept = 0;
  /// Names of the packet or message layouts; `Record::layout` indexes this.
  [[nodiscard]] virtual std::vector<std::string> packet_names() const = 0;
  [[nodiscard]] virtual bool numbers_messages() const noexcept { return false; }
  /// Whether text frames are messages of this layout, as their UTF-8 bytes.
  [[nodiscard]] virtual bool reads_text() const noexcept { return false; }
};

}  // namespace dragoman

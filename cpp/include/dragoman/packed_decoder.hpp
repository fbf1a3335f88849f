#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dragoman/batch.hpp"
#include "dragoman/decoder.hpp"
#include "dragoman/key_map.hpp"
#include "dragoman/packed_layout.hpp"

namespace dragoman::packed {

using dragoman::Counters;

/// The mutable half of a layout: bindings, topics and merged records of one connection.
///
/// Threads: unsynchronised; one connection, one thread. `decode` allocates only when a block must grow, a
/// topic is defined, or a merged instrument is seen for the first time.
class Decoder final : public FrameDecoder {
 public:
  /// Caps on what a sender can make us remember.
  static constexpr std::size_t kMaxTopics = 32768;
  static constexpr std::size_t kMaxMerged = 65536;
  static constexpr std::size_t kMaxTopicName = 1024;

  explicit Decoder(std::shared_ptr<const Layout> layout);

  /// Say which instrument a wire key means; binding again replaces.
  void bind(std::int64_t key, std::int32_t instrument) override { bindings_.put(key, instrument); }
  /// The same for the names of topics, defined already or not.
  void bind_text(std::string_view text, std::int32_t instrument) override;
  void unbind_text(std::string_view text) override;
  void unbind(std::int64_t key) override { bindings_.erase(key); }

  /// Decode one frame into `out`, whose former content is gone. Any bytes are accepted. O(size).
  void decode(const std::uint8_t* frame, std::size_t size, std::int64_t ts_recv, Block& out) override;
  void decode_heads(const std::uint8_t* frame, std::size_t size, std::int64_t ts_recv, Block& out) override;
  void read_levels() noexcept override;

  /// Number of the last message where the layout counts them, otherwise frames seen.
  [[nodiscard]] std::int64_t count() const noexcept override {
    return layout_->counts_messages ? message_number_ : static_cast<std::int64_t>(counters_.frames);
  }
  [[nodiscard]] const Counters& counters() const noexcept override { return counters_; }
  [[nodiscard]] const Layout& layout() const noexcept { return *layout_; }

 private:
  struct Topic {
    Record last;  ///< as merged so far, without per-message parts
    const Schema* schema = nullptr;
    std::int32_t instrument = kUnbound;
    bool seen = false;
    Divisor scale;
    std::string name;
    std::vector<std::uint8_t> values;  ///< wire values by position
    std::vector<std::uint8_t> known;   ///< by position: told at least once
  };

  /// Where a frame's records and levels go.
  struct Sink {
    Record* record;
    Level* levels;  ///< first of the frame
    Level* level;
    const std::uint8_t* frame;
    std::int64_t ts_recv;
    std::uint32_t errors;
  };

  /// A run whose levels are not read yet.
  struct Left {
    const Packet* layout;
    const std::uint8_t* packet;
    std::size_t stride;
    std::uint32_t count;
    Record* records;
  };

  void decode_any(const std::uint8_t* frame, std::size_t size, std::int64_t ts_recv, Block& out);
  template <bool Big>
  void decode_frame(const std::uint8_t* frame, std::size_t size, Block& out);
  template <bool Big>
  void decode_counted(const std::uint8_t* frame, std::size_t size, Sink& sink, Block& out);
  template <bool Big>
  void decode_back_to_back(const std::uint8_t* frame, std::size_t size, Sink& sink, Block& out);
  template <bool Big>
  void decode_exact(const std::uint8_t* packet, std::size_t length, Sink& sink, Block& out);
  [[nodiscard]] const Packet* simple_layout(std::uint64_t selector, const std::uint8_t* packet,
                                            std::size_t length) const noexcept;
  template <bool Big>
  void decode_run(const Packet& layout, const std::uint8_t* packet, std::size_t stride, std::uint32_t count,
                  Sink& sink);
  void decode_depth(const Packet& layout, const Run& run, Sink& sink);
  void read_left(Sink& sink) noexcept;
  /// Levels stand in the order of their records: those that were left come before any that cannot be.
  void read_left_first(Sink& sink) noexcept {
    if (!left_.empty()) [[unlikely]] {
      read_left(sink);
    }
  }
  template <bool Big>
  std::size_t decode_packet(const std::uint8_t* packet, std::size_t length, bool exact, Sink& sink,
                            Block& out);
  template <bool Big>
  const Packet* select(const std::uint8_t* packet, std::size_t length) const noexcept;
  template <bool Big>
  void decode_plain(const Packet& layout, const std::uint8_t* packet, std::size_t length, Sink& sink);
  template <bool Big>
  void fill_record(const Packet& layout, const std::uint8_t* packet, std::size_t length, const Divisor& scale,
                   std::int64_t key, std::int32_t instrument, Record* last, bool seen, Sink& sink);

  void reserve(std::size_t size, Block& out) const;
  std::size_t measure(const Packet& layout, const std::uint8_t* packet, std::size_t available,
                      std::size_t& values, std::size_t& value_count, std::size_t& name_length) const noexcept;
  void decode_define(const Packet& layout, const std::uint8_t* packet, std::size_t size, std::size_t values,
                     std::size_t value_count, std::size_t name_length, Sink& sink);
  void apply_vector(const Packet& layout, Topic& topic, std::int64_t id, const std::uint8_t* values,
                    std::size_t count, bool define, Sink& sink);
  Topic* find_topic(std::int64_t id) noexcept;
  Record* find_merged(std::int64_t key) noexcept;
  void remember(const Record& record);
  [[nodiscard]] std::int32_t instrument_of(std::int64_t key) const noexcept {
    const std::int32_t* const found = bindings_.find(key);
    return found != nullptr ? *found : kUnbound;
  }
  void truncated(Sink& sink) noexcept {
    ++counters_.truncated;
    ++sink.errors;
  }
  void malformed(Sink& sink) noexcept {
    ++counters_.malformed;
    ++sink.errors;
  }
  void to_control(std::size_t begin, std::size_t end, Block& out) {
    out.control.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)});
  }

  std::shared_ptr<const Layout> layout_;
  bool leaves_ = false;       ///< levels of the frame being decoded may be left
  std::vector<Left> left_;    ///< of the last frame
  Block* left_in_ = nullptr;  ///< where they belong; null where there are none
  Counters counters_;
  std::int64_t message_number_ = 0;
  KeyMap bindings_;
  KeyMap topic_index_;
  KeyMap merged_index_;
  std::vector<Topic> topics_;
  std::vector<Record> merged_;
  std::unordered_map<std::string, std::int32_t> names_;
};

}  // namespace dragoman::packed

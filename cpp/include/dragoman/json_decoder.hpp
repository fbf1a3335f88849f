#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dragoman/batch.hpp"
#include "dragoman/decoder.hpp"
#include "dragoman/json_layout.hpp"
#include "dragoman/json_mold.hpp"
#include "dragoman/json_names.hpp"
#include "dragoman/key_map.hpp"
#include "dragoman/text_map.hpp"

namespace dragoman::json {

/// What a scan of a message found, by slot.
struct Found {
  /// The levels of one table that were read while scanning.
  struct Run {
    std::uint32_t begin;
    std::uint32_t count;
    std::uint64_t rejected;
  };

  /// A key that came here before, asked for or not.
  struct Known {
    std::uint64_t word;   ///< first bytes of `key"`, zero filled
    std::uint16_t key;    ///< in Layout::keys; kNone: nobody asks for it
    std::uint16_t slot;   ///< where its value is noted; of strangers, the one nobody reads
    std::uint32_t place;  ///< in the tree, see place_of: whose key it is, and what stands under it

    /// @param owner  node whose key it is; kNone: nobody's  @param node  what stands under it; kNone: a leaf
    [[nodiscard]] static std::uint32_t place_of(std::uint16_t owner, std::uint16_t node) noexcept {
      return owner | std::uint32_t{node} << 16;
    }
    [[nodiscard]] std::uint16_t owner() const noexcept { return static_cast<std::uint16_t>(place); }
    [[nodiscard]] std::uint16_t node() const noexcept { return static_cast<std::uint16_t>(place >> 16); }
  };

  std::vector<Type> types;
  std::vector<Capture> captures;
  std::vector<Run> runs;     ///< by Node::eager
  std::vector<Known> known;  ///< a table of two places for each hash
  unsigned shift = 0;        ///< of a hash to an index in it

  /// What is to be known of a key of a node, wherever it came from.
  [[nodiscard]] static Known known_of(const Layout& layout, std::uint16_t owner, std::uint16_t key) noexcept;

  /// What tells the keys of one node from those of another.
  [[nodiscard]] static std::uint64_t salt(std::uint16_t owner) noexcept { return std::uint64_t{owner} << 40; }
  /// The first of the two places of a key; the other differs in the lowest bit.
  [[nodiscard]] static std::size_t place(std::uint64_t word, std::uint64_t salt, unsigned shift) noexcept {
    return static_cast<std::size_t>(((word ^ salt) * 0x9E3779B97F4A7C15u) >> shift);
  }
  [[nodiscard]] std::size_t place(std::uint64_t word, std::uint16_t owner) const noexcept {
    return place(word, salt(owner), shift);
  }
};

/// The date of the last time read as text: that of the next one, mostly.
struct Day {
  std::uint64_t month = 0x2D31302D30373931u;  ///< "1970-01-" as it lies in memory
  std::uint16_t day = 0x3130u;                ///< "01"
  std::int64_t seconds = 0;                   ///< its first, since the epoch
};

/// Where levels go, whatever their number.
struct LevelSink {
  Block* block = nullptr;
  Level* level = nullptr;
  Level* end = nullptr;
  std::uint64_t rejected = 0;

  [[nodiscard]] std::uint32_t count() const noexcept {
    return static_cast<std::uint32_t>(level - block->levels());
  }
  /// Make sure that one more fits.
  void room() {
    if (level == end) [[unlikely]] {
      grow();
    }
  }
  void grow();
};

/// The mutable half of a layout: bindings and merged records of one connection.
///
/// Threads: unsynchronised; one connection, one thread. `decode` allocates only
/// when a block or the copy of the frame must grow, for the control ranges,
/// when a merged instrument is seen for the first time, and for the mold of a message of a new kind.
class Decoder final : public FrameDecoder {
 public:
  static constexpr std::size_t kMaxMerged = 65536;
  static constexpr std::size_t kMaxKey = 1024;  ///< bytes of a text key that is remembered

  explicit Decoder(std::shared_ptr<const Layout> layout);

  void bind(std::int64_t key, std::int32_t instrument) override { bindings_.put(key, instrument); }
  void unbind(std::int64_t key) override { bindings_.erase(key); }
  void bind_text(std::string_view text, std::int32_t instrument) override {
    names_.forget(text);
    texts_.put(text, instrument);
  }
  void unbind_text(std::string_view text) override {
    names_.forget(text);
    texts_.erase(text);
  }

  void decode(const std::uint8_t* frame, std::size_t size, std::int64_t ts_recv, Block& out) override;

  [[nodiscard]] std::int64_t count() const noexcept override {
    return static_cast<std::int64_t>(counters_.frames);
  }
  [[nodiscard]] const Counters& counters() const noexcept override { return counters_; }

 private:
  /// A message whose values were found.
  struct Message {
    const std::uint8_t* at;
    const std::uint8_t* end;  ///< null: it cannot be read
    std::uint16_t layout;     ///< kNone: the values decide
    const Mold* filled;       ///< what filled its record; null: nothing did
    bool teaches;             ///< a mold is to be made of it
    unsigned depth;
  };
  /// Who a record is about.
  struct Who {
    std::int64_t key = kAbsentInt;
    std::int32_t instrument = kUnbound;
  };
  /// What the levels of one record are, at the end of the block's levels.
  struct Depth {
    std::uint32_t begin = 0;
    std::uint32_t asks = 0;  ///< index of the first ask of a snapshot
    bool any = false;        ///< some table was there
  };

  template <class Scanner>
  void decode_frame(std::size_t size, Block& out);
  template <class Scanner>
  Message read(Scanner& scanner, const std::uint8_t* at, unsigned depth, std::size_t size, Block& out);
  template <class Scanner>
  void finish(Scanner& scanner, const Message& message, const std::uint8_t* begin, const std::uint8_t* end,
              Block& out);
  [[nodiscard]] std::uint16_t choose(const Scope& here);
  [[nodiscard]] bool all_hold(const MessageLayout& layout, unsigned depth);
  template <class Scanner>
  void carry_out(Scanner& scanner, std::uint16_t scope, std::uint16_t chosen, const std::uint8_t* begin,
                 const std::uint8_t* end, const Mold* filled, Block& out);
  template <class Scanner>
  void descend(Scanner& scanner, std::uint16_t scope, const std::uint8_t* begin, const std::uint8_t* end,
               Block& out);
  template <class Scanner>
  void emit(Scanner& scanner, const MessageLayout& layout, const std::uint8_t* begin, const Mold* filled,
            Block& out);
  void emit_fields(const MessageLayout& layout, const std::uint8_t* begin, const Mold* filled, Block& out);
  template <class Scanner>
  Depth collect(Scanner& scanner, const MessageLayout& layout, bool snapshot);
  void arrange(const MessageLayout& layout, bool snapshot, Depth& depth);
  void put_rows(const MessageLayout& layout, Level* merged, Depth& depth);

  [[nodiscard]] bool holds(const Condition& condition);
  [[nodiscard]] bool equals(const Value& value, std::uint16_t slot);
  [[nodiscard]] bool name(const MessageLayout& layout, Who& who, std::string_view& text);
  [[nodiscard]] bool find_name(const MessageLayout& layout, Who& who, std::string_view& text);
  [[nodiscard]] bool find_key(const MessageLayout& layout, std::int64_t& key, std::string_view& text);
  [[nodiscard]] bool run_short(const Op& op, Type type, const Capture& capture,
                               Record& record) const noexcept;
  int run_long(const Op& op, Type type, const Capture& capture, Record& record);
  void run_op(const Op& op, Record& record, std::uint32_t& came, std::uint32_t& gone);
  [[nodiscard]] std::int32_t merged_of(const MessageLayout& layout, std::int64_t key, std::string_view text);
  void clear(const Scope& scope) noexcept;
  Record& next_record(Block& out);
  void to_control(const std::uint8_t* begin, const std::uint8_t* end, Block& out);

  std::shared_ptr<const Layout> layout_;
  Counters counters_;
  KeyMap bindings_;
  TextMap texts_;
  RecentNames names_;  ///< of `texts_`
  KeyMap merged_index_;
  TextMap merged_texts_;
  std::vector<Record> merged_;
  std::vector<std::uint8_t> merged_seen_;
  std::vector<Level> merged_rows_;
  Found found_;
  Molds molds_;
  unsigned misses_ = 0;  ///< messages of this frame, one after another, that fit no mold
  LevelSink levels_;
  std::uint32_t level_base_ = 0;  ///< levels of the records that are done
  Record* record_ = nullptr;
  Record* records_end_ = nullptr;
  std::unique_ptr<std::uint8_t[]> frame_;   ///< the frame and zeros behind it, so that scans need no bounds
  std::unique_ptr<std::uint8_t[]> quotes_;  ///< where those of the frame stand
  std::size_t frame_capacity_ = 0;
  std::string scratch_;
  Day day_;
  std::string key_;
  std::vector<Level> sorted_;
};

}  // namespace dragoman::json

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dragoman/batch.hpp"
#include "dragoman/decoder.hpp"
#include "dragoman/key_map.hpp"
#include "dragoman/protobuf_layout.hpp"
#include "dragoman/text_map.hpp"

namespace dragoman::protobuf {

/// The mutable half of a layout: bindings and merged records of one connection.
///
/// A frame is read once, straight into the block, and only when its last byte
/// was found right is anything of it counted, merged or shown: a broken message
/// delivers nothing and is remembered nowhere. A block that turns out too small
/// grows by what was found, never by what was promised, and the frame is read
/// again.
///
/// Threads: unsynchronised; one connection, one thread. `decode` allocates only
/// when a block must grow or a merged instrument is seen for the first time.
class Decoder final : public FrameDecoder {
 public:
  /// Caps on what a sender can make us remember.
  static constexpr std::size_t kMaxMerged = 65536;
  static constexpr std::size_t kMaxKey = 1024;

  explicit Decoder(std::shared_ptr<const Layout> layout);

  void bind(std::int64_t key, std::int32_t instrument) override;
  void unbind(std::int64_t key) override;
  void bind_text(std::string_view text, std::int32_t instrument) override;
  void unbind_text(std::string_view text) override;
  void decode(const std::uint8_t* frame, std::size_t size, std::int64_t ts_recv, Block& out) override;

  [[nodiscard]] std::int64_t count() const noexcept override {
    return static_cast<std::int64_t>(counters_.frames);
  }
  [[nodiscard]] const Counters& counters() const noexcept override { return counters_; }
  [[nodiscard]] const Layout& layout() const noexcept { return *layout_; }

 private:
  enum class Why : std::uint8_t { none, truncated, malformed, no_room, twice };

  /// What is known of an instrument: its handle and where its last record is,
  /// -1 for neither.
  struct Known {
    std::int64_t number;  ///< `Record::key`
    std::int32_t instrument;
    std::int32_t merged;
  };

  /// What a record of this frame still needs when the frame turns out right.
  struct Pending {
    std::uint32_t gone;  ///< presence bits told to be absent
    std::int32_t known;  ///< -1: nothing is known of this key
    std::size_t text;    ///< the key's text: offset in the frame, or in `composed_`
    std::size_t text_size;
    std::size_t placed;      ///< rows that say their place: the first of the record,
                             ///< in `rows_placed_`
    std::size_t placed_end;  ///< equal to `placed` in a record without
    bool depth;              ///< the record tells depth by places
    bool restart;
  };

  /// A row that says its place: what of it was told.
  struct Placed {
    double price;
    double quantity;
    std::uint32_t orders;
    std::uint16_t place;
    std::uint8_t side;
    std::uint8_t told;  ///< bit 0 price, bit 1 quantity, bit 2 orders
  };

  /// What an instrument's places hold, by side.
  using Places = std::array<std::vector<Level>, 2>;

  /// A row being read: price, quantity and orders of the bid, then of the ask.
  struct Row {
    double cells[kCells + 1];
    std::uint8_t decimals[8];  ///< of the cells; the last one is padding
    std::uint8_t seen;         ///< bits of the cells that came, in a table whose rows
                               ///< say their place
  };

  /// The record being read.
  struct Current {
    std::uint32_t gone = 0;
    std::int16_t variant = -1;
    std::uint8_t sides = 0;   ///< whose depth is told: bit 0 bids, bit 1 asks
    std::uint8_t sorted = 0;  ///< whose rows come in any order
    bool control = false;
    bool restart = false;
    std::uint32_t rows[2] = {0, 0};
    std::size_t placed = 0;                      ///< its first row that says its place
    const Entry* lists[2] = {nullptr, nullptr};  ///< a column of the side, where its lists came
  };

  bool message(const Node& node, const std::uint8_t* at, const std::uint8_t* end, Record& to);
  bool meets(const Condition& condition, const std::uint8_t* at, const std::uint8_t* end, bool& met) noexcept;
  bool met_first(const Condition& condition, const std::uint8_t*& at, const std::uint8_t* end) const noexcept;
  bool value(const Entry& entry, const std::uint8_t*& at, const std::uint8_t* end, Record& to) noexcept;
  void reject(std::uint8_t slot, Record& to, bool counted) noexcept;
  void fill_in(const Node& node, Record& to) const noexcept;
  bool control(std::uint32_t tag, const std::uint8_t*& at, const std::uint8_t* end);
  bool record(const Node& node, std::int16_t shape, const std::uint8_t* at, const std::uint8_t* end);
  bool finish_record(Record& record, std::int16_t shape, const std::uint8_t* at, const std::uint8_t* end);
  bool finish_key(Record& record, Pending& pending);
  bool finish_depth(Record& record, Kind kind);
  void top_of(Record& record, std::size_t side, const Level* best) noexcept;
  bool finish_lists(std::size_t side);
  double* cell_of_list(const Entry& entry);
  bool rows(const Entry& entry, const std::uint8_t*& at, const std::uint8_t* end);
  bool flat_cells(const Node& node, const std::uint8_t* at, const std::uint8_t* end, Row& row) noexcept;
  bool cells(const Node& node, const std::uint8_t* at, const std::uint8_t* end, Row& row) noexcept;
  bool cell(const Entry& entry, const std::uint8_t*& at, const std::uint8_t* end, Row& row) noexcept;
  bool other_cell(const Entry& entry, std::uint32_t tag, const std::uint8_t*& at, const std::uint8_t* end,
                  Row& row) noexcept;
  template <std::size_t kCount>
  bool straight_rows(const Entry& entry, const Node& node, const std::uint8_t*& at,
                     const std::uint8_t* end) noexcept;
  bool add_row(const Entry& entry, std::size_t side, const Row& row);
  bool add_placed(const Entry& entry, std::size_t side, const Row& row);
  bool reserve_places();
  void place(Record& record, const Pending& pending, std::size_t& used);
  Level* show(Record& record, std::size_t side, const std::vector<Level>& places, Level* out) noexcept;
  bool add_level(const Entry& entry, std::size_t side, double price, double quantity, std::uint64_t tail);
  bool list(const Entry& entry, const std::uint8_t* at, const std::uint8_t* end);
  bool list_item(const Entry& entry, const std::uint8_t*& at, const std::uint8_t* end);
  bool key_integer(const Entry& entry, const std::uint8_t*& at, const std::uint8_t* end) noexcept;

  void commit();
  void merge(Record& record, const Pending& pending);
  std::int32_t find(const Pending& pending, std::int64_t key) const noexcept;
  std::int32_t find_in_order(const Pending& pending);
  void set_instrument(std::int32_t known, std::int32_t instrument) noexcept;
  [[nodiscard]] std::string_view text_of(const Pending& pending) const noexcept;

  bool fail(Why why) noexcept {
    why_ = why;
    return false;
  }
  /// Whether `size` bytes are there; otherwise the message ends too early.
  bool within(std::uint64_t size, const std::uint8_t* at, const std::uint8_t* end) noexcept {
    return size <= static_cast<std::uint64_t>(end - at) || fail(Why::truncated);
  }
  /// The length of a message or text, which must be there. Mostly one byte or
  /// two.
  [[gnu::always_inline]] bool length(const std::uint8_t*& at, const std::uint8_t* end,
                                     std::uint64_t& size) noexcept {
    if (at != end && *at < 0x80) [[likely]] {
      size = *at++;
      return within(size, at, end);
    }
    if (end - at >= 2 && at[1] < 0x80) [[likely]] {
      size = (at[0] & 0x7Fu) | static_cast<std::uint64_t>(at[1]) << 7;
      at += 2;
      return within(size, at, end);
    }
    const std::uint8_t* next = at;  // a copy, so that the caller's may stay in a register
    std::uint64_t found = 0;
    const bool right = long_length(next, end, found);
    at = next;
    size = found;
    return right;
  }
  bool long_length(const std::uint8_t*& at, const std::uint8_t* end, std::uint64_t& size) noexcept;

  std::shared_ptr<const Layout> layout_;
  Counters counters_;

  // The frame being read.
  const std::uint8_t* frame_ = nullptr;
  const std::uint8_t* frame_end_ = nullptr;
  Block* block_ = nullptr;
  std::int64_t ts_recv_ = 0;
  Record* records_ = nullptr;
  std::size_t record_count_ = 0;
  std::size_t level_count_ = 0;
  std::uint32_t packets_ = 0;
  std::uint32_t unknown_ = 0;
  std::uint32_t control_ = 0;
  std::uint32_t rejected_ = 0;
  Why why_ = Why::none;
  bool in_record_ = false;
  bool in_order_ = true;  ///< the frame's texts came in the order of the last one so far
  bool careful_ = false;  ///< a condition's field came twice: look through
                          ///< messages before reading them
  Current current_;
  Record shared_;  ///< values of the messages around the records
  std::vector<Pending> pending_;
  std::string composed_;
  std::array<std::uint64_t, kMaxKeyParts> key_bits_{};
  std::array<std::string_view, kMaxKeyParts> key_texts_{};
  std::array<std::vector<Level>, 2> sides_;          ///< rows of the record, by side
  std::vector<Placed> rows_placed_;                  ///< rows of the frame that say their place
  std::array<std::vector<double>, kCells> columns_;  ///< lists of the record, by cell

  // What the connection remembers.
  KeyMap integers_;  ///< key to index in `known_`
  TextMap texts_;
  std::vector<std::uint32_t> hints_;  ///< by record of a frame: where its text was the last time
  std::vector<Known> known_;
  std::vector<Record> merged_;
  std::vector<Places> places_;  ///< beside `merged_`, where rows say their place
};

}  // namespace dragoman::protobuf

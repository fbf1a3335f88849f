#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace dragoman {

/// The float64 slots of a record, in storage order. A slot's index is its bit in `present` and `changed`.
/// Meanings, units and whose side each is: docs/semantics.md. Adding one here adds it everywhere
/// (dtype, Tick attributes, layouts); the order is part of the NumPy face, so append only.
#define DRAGOMAN_RECORD_FIELDS(X) \
  X(last_price)                   \
  X(last_quantity)                \
  X(average_price)                \
  X(volume)                       \
  X(total_buy_quantity)           \
  X(total_sell_quantity)          \
  X(open)                         \
  X(high)                         \
  X(low)                          \
  X(previous_close)               \
  X(oi)                           \
  X(oi_high)                      \
  X(oi_low)                       \
  X(bid_price)                    \
  X(bid_quantity)                 \
  X(ask_price)                    \
  X(ask_quantity)                 \
  X(price_band_low)               \
  X(price_band_high)              \
  X(session_close)                \
  X(volume_24h)                   \
  X(mark_price)                   \
  X(index_price)                  \
  X(turnover)

enum class Slot : std::uint8_t {
#define DRAGOMAN_SLOT(name) name,
  DRAGOMAN_RECORD_FIELDS(DRAGOMAN_SLOT)
#undef DRAGOMAN_SLOT
      count_
};

inline constexpr std::size_t kSlots = static_cast<std::size_t>(Slot::count_);

/// The int64 members of a record have presence bits too, above the slots.
enum PresenceBit : std::uint32_t {
  kHasTsEvent = 1u << 24,
  kHasLastTradeTime = 1u << 25,
  kHasSequence = 1u << 26,
  kHasPrevSequence = 1u << 27,
};
static_assert(kSlots <= 24, "slots and integer members share one 32-bit mask");

enum class Kind : std::uint8_t { quote = 0, trade = 1, depth_snapshot = 2, depth_delta = 3, status = 4 };
enum class Mode : std::uint8_t { none = 0, ltp = 1, quote = 2, full = 3 };

enum RecordFlag : std::uint16_t {
  kFlagDepth = 1u << 0,     ///< the level range is a depth snapshot or delta (a quote may carry a snapshot)
  kFlagSnapshot = 1u << 1,  ///< the levels replace the book; without it they are deltas
  kFlagLast = 1u << 2,      ///< last record of its message
  kFlagMerged = 1u << 3,    ///< a partial update, delivered merged with what came before
  kFlagIndex = 1u << 4,     ///< not tradable: an index value
  kFlagBuyer = 1u << 5,     ///< trade: the aggressor bought
  kFlagSeller = 1u << 6,    ///< trade: the aggressor sold
};

inline constexpr std::int64_t kAbsentInt = std::numeric_limits<std::int64_t>::min();
inline constexpr std::int32_t kUnbound = -1;  ///< a record whose key was never bound to an instrument

/// One decoded packet. Absent floats are NaN, absent integers kAbsentInt, and `present` says so once more.
/// 272 bytes, trivially copyable; copied in 16-byte pieces on the hot path (see decoder.cpp).
struct alignas(16) Record {
  std::int64_t ts_recv;          ///< ns UTC, set by the caller of decode
  std::int64_t ts_event;         ///< ns UTC, exchange or broker
  std::int64_t last_trade_time;  ///< ns UTC
  std::int64_t sequence;         ///< last message number this record covers
  std::int64_t prev_sequence;    ///< number it follows, where the venue says
  std::int64_t key;              ///< the wire's own instrument key, composed as the layout says
  std::uint32_t present;
  std::uint32_t changed;  ///< for merged records: what this message itself carried; otherwise == present
  std::int32_t instrument;
  Kind kind;
  Mode mode;
  std::uint16_t flags;
  std::uint32_t level_begin;  ///< index of the first level op in the batch
  std::uint32_t level_count;
  std::uint32_t layout;   ///< index of the packet layout that matched
  std::uint32_t source;   ///< byte offset of the packet in the frame
  double values[kSlots];  ///< indexed by Slot
};
static_assert(sizeof(Record) == 272);
static_assert(offsetof(Record, values) == 80);

enum class Side : std::uint8_t { bid = 0, ask = 1 };
enum class Action : std::uint8_t { add = 0, update = 1, remove = 2, clear = 3 };

/// One level operation; records hold ranges of these. Snapshot levels are `add`, bids first, best first.
struct Level {
  double price;
  double quantity;
  std::uint32_t orders;
  Side side;
  Action action;
  std::uint8_t price_decimals;     ///< digits written on the wire, for checksums; 255 where unknown
  std::uint8_t quantity_decimals;  ///< likewise
};
static_assert(sizeof(Level) == 24);

}  // namespace dragoman

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "dragoman/json_layout.hpp"

/// Molds: what messages of one kind look like between their values.
namespace dragoman::json {

/// Up to 8 bytes that must stand here, and the value behind them.
struct MoldStep {
  enum class What : std::uint8_t {
    nothing,
    text,
    number,
    constant,  ///< a text that is the same in all messages
    other,
    passed,    ///< a text that nobody reads
    repeated,  ///< another value that nobody reads, often the same as in the message before
    decimal,   ///< what goes straight into the record: to a slot,
    whole,     ///< an integer or epoch time,
    moment,    ///< a time in RFC 3339
  };

  /// So many changes of size show that one size says nothing of the next.
  static constexpr std::uint8_t kUnsteady = 16;
  static constexpr std::uint8_t kMostSteady = 31;  ///< bytes of a value whose size is remembered

  std::uint64_t word = 0;
  std::uint64_t mask = 0;
  std::uint64_t stop = 0;  ///< the byte behind the value, eight times
  const Op* op = nullptr;  ///< of what goes into the record
  std::uint64_t head = 0;  ///< of a repeated value: its first eight bytes,
  std::uint64_t tail = 0;  ///< and its last, where it has eight
  What what = What::nothing;
  std::uint8_t size = 0;    ///< of the bytes
  std::uint8_t length = 0;  ///< of a constant, whose quote ends the bytes; of another value: its size of late
  std::uint8_t changes = 0;    ///< how often sizes differed, up to kUnsteady
  std::uint16_t slot = 0;      ///< of the value
  std::uint16_t node = kNone;  ///< what stands under it; kNone: a leaf

  /// Whether the value at `at` begins with the one kept, which was read in full then. It is padded.
  [[nodiscard]] bool repeats(const std::uint8_t* at) const noexcept {
    if (length >= sizeof head) {
      return word_at(at) == head && word_at(at + length - sizeof head) == tail;
    }
    return length != 0 && word_at(at) << (64 - 8 * length) == head << (64 - 8 * length);
  }
  /// Keep a value for the next message, unless it is too long.
  void repeat(const std::uint8_t* at, std::size_t found) noexcept {
    length = found <= 2 * sizeof head ? static_cast<std::uint8_t>(found) : 0;
    head = word_at(at);
    tail = length >= sizeof head ? word_at(at + length - sizeof head) : 0;
  }
  static std::uint64_t word_at(const std::uint8_t* at) noexcept {
    std::uint64_t word_there;
    std::memcpy(&word_there, at, sizeof word_there);
    return word_there;
  }

  void remember(std::uint32_t found) noexcept {
    if (changes < kUnsteady) {
      ++changes;
      length = static_cast<std::uint8_t>(found);
      changes = found > kMostSteady ? kUnsteady : changes;
    }
  }
};

/// The keys of one kind of message in the order that its sender writes them, with all that stands between the
/// values; texts that tell kinds apart count as keys. A message that fits needs no look at its keys.
struct Mold {
  std::vector<MoldStep> steps;
  std::uint16_t layout = kNone;  ///< the layout of all that fit; kNone: the values decide
  std::uint32_t hits = 0;
  std::uint32_t misfits = 0;    ///< messages that only began like those that fit
  bool direct = false;          ///< reading a message fills its record
  std::uint32_t bits = 0;       ///< of what it fills
  std::vector<const Op*> rest;  ///< ops that remain to be done

  /// Whether a message begins like those that fit. It is padded.
  [[nodiscard]] bool begins(const std::uint8_t* at) const noexcept {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    return ((word ^ steps[0].word) & steps[0].mask) == 0;
  }
  /// Whether the layout of a message that fits follows from that alone.
  [[nodiscard]] bool decides(const Layout& from) const noexcept;
  /// Have the values that only one op reads go straight into the record.
  void aim(const Layout& from);
};

/// The molds of one connection: those of late that proved useful.
struct Molds {
  static constexpr std::size_t kMost = 8;
  static constexpr std::uint32_t kProven = 16;          ///< hits that show that messages repeat
  static constexpr std::uint32_t kMostPatience = 1024;  ///< messages from one attempt to the next
  static constexpr unsigned kMostMisses = 4;            ///< in a row in one frame

  std::vector<Mold> all;
  std::uint32_t wait = 0;      ///< messages that fit none until the next mold is made
  std::uint32_t patience = 1;  ///< those to wait after it: ever more, unless molds prove useful

  void hit(Mold& mold) noexcept {
    if (++mold.hits == kProven) {
      patience = 1;
    }
  }
  /// Count a message that did not fit where it seemed to; a mold that is mostly wrong goes.
  void misfit(Mold& mold);
  /// Count a message that fits none; true where a mold should be made of it.
  [[nodiscard]] bool miss() noexcept {
    if (wait != 0) {
      --wait;
      return false;
    }
    wait = patience;
    patience = patience < kMostPatience ? 2 * patience : patience;
    return true;
  }
  /// Keep a mold, in place of the least useful one where there are too many.
  void keep(Mold mold);
};

}  // namespace dragoman::json

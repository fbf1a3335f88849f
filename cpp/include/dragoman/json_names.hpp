#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace dragoman::json {

/// Instruments named of late: short texts, each compared as two words whatever its length.
///
/// In front of a TextMap, whose hash takes a number of steps that depends on the length; feeds name few
/// instruments again and again. Whoever changes the table forgets the text here.
class RecentNames {
 public:
  static constexpr std::size_t kMostBytes = 16;

  /// A text as it is compared; of what lies behind it nothing counts.
  struct Words {
    std::uint64_t head;
    std::uint64_t tail;
    std::uint32_t size;

    /// @param at  16 readable bytes  @param size  1 to kMostBytes
    [[nodiscard]] static Words of(const std::uint8_t* at, std::uint32_t size) noexcept {
      Words words{0, 0, size};
      std::memcpy(&words.head, at, sizeof words.head);
      std::memcpy(&words.tail, at + sizeof words.head, sizeof words.tail);
      words.head &= kMasks[size + 8];
      words.tail &= kMasks[size];
      return words;
    }
    [[nodiscard]] std::size_t place() const noexcept {
      return static_cast<std::size_t>((head ^ tail * 0xC2B2AE3D27D4EB4Fu) * 0x9E3779B97F4A7C15u >> kShift);
    }
  };
  struct Name {
    Words words{0, 0, 0};  ///< size 0: a free place
    std::int32_t instrument = 0;
    std::int64_t number = 0;  ///< TextMap::number_of(text)
  };

  /// Return what is known of a text, or null.
  [[nodiscard]] const Name* find(const Words& words) const noexcept {
    const Name& name = names_[words.place()];
    const bool same = name.words.head == words.head && name.words.tail == words.tail;
    return same && name.words.size == words.size ? &name : nullptr;
  }
  void keep(const Words& words, std::int32_t instrument, std::int64_t number) noexcept {
    names_[words.place()] = {words, instrument, number};
  }
  void forget(std::string_view text) noexcept {
    if (!text.empty() && text.size() <= kMostBytes) {
      std::uint8_t padded[kMostBytes] = {};
      std::memcpy(padded, text.data(), text.size());
      names_[Words::of(padded, static_cast<std::uint32_t>(text.size())).place()] = {};
    }
  }

 private:
  static constexpr unsigned kShift = 56;
  /// At i + 8: the first i bytes of a word; none before.
  static constexpr std::array<std::uint64_t, 2 * kMostBytes> kMasks = [] {
    std::array<std::uint64_t, 2 * kMostBytes> masks{};
    for (std::size_t i = 9; i < masks.size(); ++i) {
      masks[i] = masks[i - 1] << 8 | 0xFF;
    }
    return masks;
  }();

  std::array<Name, std::size_t{1} << (64 - kShift)> names_{};
};

}  // namespace dragoman::json

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace dragoman {

/// A text -> int32 table with open addressing, for instruments and topics that the wire names by text.
///
/// The texts stand one after another in one array, an entry holds the hash and where its text is; a lookup
/// reads the entry and compares once. The hash is seeded like KeyMap's, so chosen texts cannot pile up.
/// `find` allocates nothing. Unsynchronised.
class TextMap {
 public:
  TextMap();

  /// Return the value, or null. Valid until the next change.
  [[nodiscard]] const std::int32_t* find(std::string_view text) const noexcept {
    const Entry* const found = entry_of(text);
    return found != nullptr ? &found->value : nullptr;
  }

  /// The same, for texts that come in one order again and again: `hint` says at which entry to look first, if
  /// it is trusted, and afterwards at which the text was found. Any number will do. A trusted hint that was
  /// wrong is trusted no more.
  [[nodiscard]] const std::int32_t* find(std::string_view text, std::uint32_t& hint,
                                         bool& trust) const noexcept {
    if (trust) [[likely]] {
      const Entry& expected = entries_[hint & mask_];
      if (expected.used != 0 && holds(expected, text)) [[likely]] {
        return &expected.value;
      }
      trust = false;
    }
    const Entry* const found = entry_of(text);
    if (found == nullptr) {
      return nullptr;
    }
    hint = static_cast<std::uint32_t>(found - entries_.data());
    return &found->value;
  }

  /// The same, and `number` becomes `number_of(text)`, which an entry keeps.
  [[nodiscard]] const std::int32_t* find_numbered(std::string_view text,
                                                  std::int64_t& number) const noexcept {
    const Entry* const found = entry_of(text);
    number = found != nullptr ? found->number : number_of(text);
    return found != nullptr ? &found->value : nullptr;
  }

  /// Whether `size` bytes are equal: for short texts, quicker than a call of memcmp.
  [[nodiscard]] static bool same(const char* one, const char* other, std::size_t size) noexcept {
    for (; size >= 8; one += 8, other += 8, size -= 8) {
      if (load<std::uint64_t>(one) != load<std::uint64_t>(other)) {
        return false;
      }
    }
    return tail(one, size) == tail(other, size);
  }

  void put(std::string_view text, std::int32_t value);
  bool erase(std::string_view text);
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// A stable, unseeded 63-bit number of a text: `Record::key` of records whose wire key is text.
  [[nodiscard]] static std::int64_t number_of(std::string_view text) noexcept {
    return static_cast<std::int64_t>(mix(text, 0x9E3779B97F4A7C15u) >> 1);
  }

 private:
  struct Entry {
    std::uint64_t hash;
    std::int64_t number;
    std::uint32_t begin;
    std::uint32_t size;
    std::int32_t value;
    std::int32_t used;
  };

  [[nodiscard]] bool holds(const Entry& entry, std::string_view text) const noexcept {
    return entry.size == text.size() && same(texts_.data() + entry.begin, text.data(), text.size());
  }
  [[nodiscard]] const Entry* entry_of(std::string_view text) const noexcept {
    const std::uint64_t hash = hash_of(text);
    for (std::size_t i = hash & mask_;; i = (i + 1) & mask_) {
      const Entry& entry = entries_[i];
      if (entry.used == 0) {
        return nullptr;
      }
      if (entry.hash == hash && holds(entry, text)) [[likely]] {
        return &entry;
      }
    }
  }

  template <class T>
  static T load(const char* at) noexcept {
    T word;
    std::memcpy(&word, at, sizeof word);
    return word;
  }
  /// The `left` bytes at `at`, fewer than eight, with zeros behind them: as loads that overlap, not as a
  /// call.
  static std::uint64_t tail(const char* at, std::size_t left) noexcept {
    if (left >= 4) {
      return load<std::uint32_t>(at) | std::uint64_t{load<std::uint32_t>(at + left - 4)} << (8 * (left - 4));
    }
    if (left == 0) {
      return 0;
    }
    const auto byte = [at](std::size_t i) {
      return std::uint64_t{static_cast<std::uint8_t>(at[i])} << (8 * i);
    };
    return byte(0) | byte(left / 2) | byte(left - 1);
  }
  static std::uint64_t mix(std::string_view text, std::uint64_t seed) noexcept {
    std::uint64_t hash = seed ^ (text.size() * 0xC2B2AE3D27D4EB4Fu);
    const char* at = text.data();
    std::size_t left = text.size();
    for (; left >= 8; at += 8, left -= 8) {
      hash = (hash ^ load<std::uint64_t>(at)) * 0xFF51AFD7ED558CCDu;
      hash ^= hash >> 32;
    }
    hash = (hash ^ tail(at, left)) * 0xFF51AFD7ED558CCDu;
    hash = (hash ^ (hash >> 33)) * 0xC4CEB9FE1A85EC53u;
    return hash ^ (hash >> 33);
  }
  [[nodiscard]] std::uint64_t hash_of(std::string_view text) const noexcept { return mix(text, seed_); }
  void rebuild(std::size_t slots);

  std::vector<Entry> entries_;
  std::string texts_;
  std::size_t mask_;
  std::uint64_t seed_;
  std::size_t size_ = 0;
  std::size_t dead_ = 0;  ///< bytes of texts whose entries are gone
};

}  // namespace dragoman

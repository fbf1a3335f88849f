#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dragoman {

/// An int64 -> int32 table with open addressing, for wire keys: one probe in the common case, 16 bytes an
/// entry.
///
/// The keys may come from a sender, so the hash is mixed with a salt that a sender cannot know: chosen keys
/// cannot pile up in one place. `find` allocates nothing; `put` does when the table grows. Unsynchronised.
class KeyMap {
 public:
  KeyMap();

  /// Return the value, or null. Valid until the next change.
  [[nodiscard]] const std::int32_t* find(std::int64_t key) const noexcept {
    for (std::size_t i = home(key);; i = (i + 1) & mask_) {
      const Entry& entry = entries_[i];
      if (entry.used == 0) {
        return nullptr;
      }
      if (entry.key == key) {
        return &entry.value;
      }
    }
  }

  void put(std::int64_t key, std::int32_t value);
  bool erase(std::int64_t key) noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  struct Entry {
    std::int64_t key;
    std::int32_t value;
    std::int32_t used;
  };

  [[nodiscard]] std::size_t home(std::int64_t key) const noexcept {
    std::uint64_t x = (static_cast<std::uint64_t>(key) ^ salt_) * 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93u;
    return static_cast<std::size_t>(x >> 32) & mask_;
  }
  void grow();

  std::vector<Entry> entries_;
  std::size_t mask_;
  std::uint64_t salt_;
  std::size_t size_ = 0;
};

}  // namespace dragoman

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dragoman {

/// An int64 -> int32 table with open addressing, for wire keys: one probe in the common case, 16 bytes an
/// entry.
///
/// The keys may come from a sender, so the hash multiplies by an odd number that a sender cannot know: chosen
/// keys cannot pile up in one place. `find` allocates nothing; `put` does when the table grows.
/// Unsynchronised.
class KeyMap {
 private:
  struct Entry {
    std::int64_t key;
    std::int32_t value;
    std::int32_t used;
  };

 public:
  KeyMap();

  /// What looking up takes, by value: a loop that keeps one on its stack does not read the table's head again
  /// at every key. Valid until the next change.
  class View {
   public:
    /// Return the value, or null.
    [[nodiscard]] const std::int32_t* find(std::int64_t key) const noexcept {
      for (std::size_t i = (static_cast<std::uint64_t>(key) * multiplier_) >> shift_;; i = (i + 1) & mask_) {
        const Entry& entry = entries_[i];
        if (entry.key == key && entry.used != 0) [[likely]] {
          return &entry.value;
        }
        if (entry.used == 0) {
          return nullptr;
        }
      }
    }

   private:
    friend class KeyMap;
    View(const Entry* entries, std::size_t mask, std::uint64_t multiplier, unsigned shift) noexcept
        : entries_(entries), mask_(mask), multiplier_(multiplier), shift_(shift) {}

    const Entry* entries_;
    std::size_t mask_;
    std::uint64_t multiplier_;
    unsigned shift_;
  };

  [[nodiscard]] View view() const noexcept { return {entries_.data(), mask_, multiplier_, shift_}; }

  /// Return the value, or null. Valid until the next change.
  [[nodiscard]] const std::int32_t* find(std::int64_t key) const noexcept { return view().find(key); }

  void put(std::int64_t key, std::int32_t value);
  bool erase(std::int64_t key) noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  [[nodiscard]] std::size_t home(std::int64_t key) const noexcept {
    return static_cast<std::size_t>((static_cast<std::uint64_t>(key) * multiplier_) >> shift_);
  }
  void grow();

  std::vector<Entry> entries_;
  std::size_t mask_;
  std::uint64_t multiplier_;
  unsigned shift_;  ///< leaves as many high bits as the table has
  std::size_t size_ = 0;
};

}  // namespace dragoman

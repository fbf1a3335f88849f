#include "dragoman/key_map.hpp"

#include <utility>

namespace dragoman {

KeyMap::KeyMap() : entries_(16), mask_(15), shift_(60) {
  // Where the system put this table is not known outside the process, and costs no clock and no generator.
  std::uint64_t x = reinterpret_cast<std::uintptr_t>(entries_.data());
  x = (x ^ (x >> 33)) * 0xFF51AFD7ED558CCDu;
  x = (x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53u;
  multiplier_ = (x ^ (x >> 33)) | 1u;
}

void KeyMap::put(std::int64_t key, std::int32_t value) {
  if (2 * (size_ + 1) > entries_.size()) {
    grow();
  }
  for (std::size_t i = home(key);; i = (i + 1) & mask_) {
    Entry& entry = entries_[i];
    if (entry.used == 0) {
      entry = {key, value, 1};
      ++size_;
      return;
    }
    if (entry.key == key) {
      entry.value = value;
      return;
    }
  }
}

bool KeyMap::erase(std::int64_t key) noexcept {
  std::size_t hole = home(key);
  while (entries_[hole].used != 0 && entries_[hole].key != key) {
    hole = (hole + 1) & mask_;
  }
  if (entries_[hole].used == 0) {
    return false;
  }
  // Move later entries of the run back into the hole wherever their home allows it, so that no tombstone is
  // needed.
  for (std::size_t i = (hole + 1) & mask_; entries_[i].used != 0; i = (i + 1) & mask_) {
    const std::size_t from_home = (i - home(entries_[i].key)) & mask_;
    if (from_home >= ((i - hole) & mask_)) {
      entries_[hole] = entries_[i];
      hole = i;
    }
  }
  entries_[hole].used = 0;
  --size_;
  return true;
}

void KeyMap::grow() {
  std::vector<Entry> old(2 * entries_.size());
  old.swap(entries_);
  mask_ = entries_.size() - 1;
  --shift_;
  for (const Entry& entry : old) {
    if (entry.used == 0) {
      continue;
    }
    std::size_t i = home(entry.key);
    while (entries_[i].used != 0) {
      i = (i + 1) & mask_;
    }
    entries_[i] = entry;
  }
}

}  // namespace dragoman

#include "dragoman/text_map.hpp"

#include <limits>
#include <stdexcept>
#include <utility>

namespace dragoman {

TextMap::TextMap() : entries_(16), mask_(15) {
  // As in KeyMap: where the system put the table is not known outside the process.
  std::uint64_t x = reinterpret_cast<std::uintptr_t>(entries_.data());
  x = (x ^ (x >> 33)) * 0xFF51AFD7ED558CCDu;
  seed_ = x ^ (x >> 33);
}

void TextMap::put(std::string_view text, std::int32_t value) {
  if (const std::int32_t* const found = find(text); found != nullptr) {
    *const_cast<std::int32_t*>(found) = value;
    return;
  }
  if (text.size() > std::numeric_limits<std::uint32_t>::max() - texts_.size()) {
    throw std::length_error("the texts of a table take more than 4 GiB");
  }
  if (2 * (size_ + 1) > entries_.size()) {
    rebuild(2 * entries_.size());
  }
  const std::uint64_t hash = hash_of(text);
  std::size_t i = hash & mask_;
  while (entries_[i].used != 0) {
    i = (i + 1) & mask_;
  }
  const auto begin = static_cast<std::uint32_t>(texts_.size());
  texts_.append(text);
  entries_[i] = {hash, number_of(text), begin, static_cast<std::uint32_t>(text.size()), value, 1};
  ++size_;
}

bool TextMap::erase(std::string_view text) {
  const std::int32_t* const found = find(text);
  if (found == nullptr) {
    return false;
  }
  std::size_t hole = hash_of(text) & mask_;
  while (&entries_[hole].value != found) {
    hole = (hole + 1) & mask_;
  }
  dead_ += entries_[hole].size;
  // Move later entries of the run back, as KeyMap does, so that no tombstone is needed.
  for (std::size_t i = (hole + 1) & mask_; entries_[i].used != 0; i = (i + 1) & mask_) {
    const std::size_t from_home = (i - (entries_[i].hash & mask_)) & mask_;
    if (from_home >= ((i - hole) & mask_)) {
      entries_[hole] = entries_[i];
      hole = i;
    }
  }
  entries_[hole].used = 0;
  --size_;
  if (dead_ > 4096 && dead_ > texts_.size() / 2) {
    rebuild(entries_.size());
  }
  return true;
}

void TextMap::rebuild(std::size_t slots) {
  std::vector<Entry> entries(slots);
  std::string texts;
  texts.reserve(texts_.size());
  const std::size_t mask = slots - 1;
  for (const Entry& entry : entries_) {
    if (entry.used == 0) {
      continue;
    }
    std::size_t i = entry.hash & mask;
    while (entries[i].used != 0) {
      i = (i + 1) & mask;
    }
    entries[i] = entry;
    entries[i].begin = static_cast<std::uint32_t>(texts.size());
    texts.append(texts_, entry.begin, entry.size);
  }
  entries_.swap(entries);
  texts_.swap(texts);
  mask_ = mask;
  dead_ = 0;
}

}  // namespace dragoman

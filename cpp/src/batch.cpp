#include "dragoman/batch.hpp"

#include <algorithm>

namespace dragoman {

void Block::grow_records(std::size_t wanted) {
  const std::size_t capacity = std::max<std::size_t>(wanted, 2 * record_capacity_);
  records_ = std::make_unique_for_overwrite<Record[]>(capacity);
  record_capacity_ = capacity;
}

void Block::grow_levels(std::size_t wanted) {
  const std::size_t capacity = std::max<std::size_t>(wanted, 2 * level_capacity_);
  levels_ = std::make_unique_for_overwrite<Level[]>(capacity);
  level_capacity_ = capacity;
}

}  // namespace dragoman

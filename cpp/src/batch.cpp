#include "dragoman/batch.hpp"

#include <algorithm>
#include <utility>

#include "dragoman/decoder.hpp"

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

void Block::have_levels_read() {
  unread->read_levels();
}

void Block::extend_records(std::size_t used) {
  const std::unique_ptr<Record[]> before = std::move(records_);
  grow_records(std::max<std::size_t>(16, 2 * used));
  std::copy_n(before.get(), used, records_.get());
}

void Block::extend_levels(std::size_t used) {
  const std::unique_ptr<Level[]> before = std::move(levels_);
  grow_levels(std::max<std::size_t>(64, 2 * used));
  std::copy_n(before.get(), used, levels_.get());
}

}  // namespace dragoman

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "check.hpp"
#include "dragoman/arrow.hpp"
#include "dragoman/instruments.hpp"

namespace {

using dragoman::BatchView;
using dragoman::Level;
using dragoman::Record;

struct Sample {
  std::array<Record, 2> records{};
  std::array<Level, 1> levels{};
  BatchView view;

  Sample() {
    records[0].instrument = dragoman::intern_instrument("US:SAMPLE");
    records[0].present = 1u | dragoman::kHasTsEvent;
    records[0].values[0] = 12.5;
    records[0].ts_event = 99;
    records[0].flags = dragoman::kFlagDepth;
    records[0].level_count = 1;
    records[1].instrument = dragoman::kUnbound;
    levels[0] = {12.25, 3.0, 2, dragoman::Side::ask, dragoman::Action::add, 255, 255};
    view = {records.data(), records.size(), levels.data(), levels.size(), 0, 1};
  }
};

std::int64_t column(const ArrowSchema& schema, std::string_view name) {
  for (std::int64_t i = 0; i < schema.n_children; ++i) {
    if (schema.children[i]->name == name) {
      return i;
    }
  }
  return -1;
}

void test_values_nulls_and_levels_are_where_the_format_says() {
  const Sample sample;
  ArrowSchema schema{};
  ArrowArray array{};
  dragoman::export_schema(schema);
  dragoman::export_batch(sample.view, array);
  CHECK(array.length == 2);
  CHECK(array.n_children == schema.n_children);
  const ArrowArray& price = *array.children[column(schema, "last_price")];
  CHECK(price.null_count == 1);
  CHECK(*static_cast<const std::uint8_t*>(price.buffers[0]) == 1);
  CHECK(static_cast<const double*>(price.buffers[1])[0] == 12.5);
  const ArrowArray& name = *array.children[column(schema, "instrument_id")];
  const auto* const ends = static_cast<const std::int32_t*>(name.buffers[1]);
  CHECK(ends[0] == 0 && ends[1] == 9 && ends[2] == 9);
  CHECK(std::memcmp(name.buffers[2], "US:SAMPLE", 9) == 0);
  const ArrowArray& levels = *array.children[column(schema, "levels")];
  CHECK(levels.null_count == 1);
  CHECK(levels.children[0]->length == 1);
  CHECK(static_cast<const double*>(levels.children[0]->children[2]->buffers[1])[0] == 12.25);
  array.release(&array);
  schema.release(&schema);
  CHECK(array.release == nullptr);
  CHECK(schema.release == nullptr);
}

void test_a_child_may_be_moved_out_and_released_by_itself() {
  const Sample sample;
  ArrowArray array{};
  dragoman::export_batch(sample.view, array);
  ArrowArray child = *array.children[2];
  array.children[2]->release = nullptr;
  array.release(&array);
  CHECK(child.length == 2);
  CHECK(static_cast<const std::int64_t*>(child.buffers[1])[0] == 0);
  child.release(&child);
}

void test_an_empty_batch_has_every_column_and_buffer() {
  ArrowArray array{};
  dragoman::export_batch(BatchView{}, array);
  CHECK(array.length == 0);
  for (std::int64_t i = 0; i < array.n_children; ++i) {
    const ArrowArray& child = *array.children[i];
    CHECK(child.length == 0 && child.null_count == 0);
    for (std::int64_t j = 1; j < child.n_buffers; ++j) {
      CHECK(child.buffers[j] != nullptr);
    }
  }
  array.release(&array);
}

}  // namespace

int main() {
  return run_tests({
      TEST_CASE(test_values_nulls_and_levels_are_where_the_format_says),
      TEST_CASE(test_a_child_may_be_moved_out_and_released_by_itself),
      TEST_CASE(test_an_empty_batch_has_every_column_and_buffer),
  });
}

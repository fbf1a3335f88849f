#include "dragoman/arrow.hpp"

#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "dragoman/instruments.hpp"

namespace dragoman {
namespace {

constexpr std::int64_t kNullable = 2;  // ARROW_FLAG_NULLABLE

// --- schema

/// What a schema owns; names and formats are literals.
struct SchemaNode {
  std::vector<ArrowSchema> children;
  std::vector<ArrowSchema*> pointers;

  SchemaNode() = default;
  SchemaNode(const SchemaNode&) = delete;
  SchemaNode& operator=(const SchemaNode&) = delete;
  ~SchemaNode() {
    for (ArrowSchema& child : children) {
      if (child.release != nullptr) {
        child.release(&child);
      }
    }
  }
};

void release_schema(ArrowSchema* schema) {
  delete static_cast<SchemaNode*>(schema->private_data);
  schema->release = nullptr;
}

ArrowSchema schema_of(const char* name, const char* format, std::int64_t flags,
                      std::unique_ptr<SchemaNode> node = std::make_unique<SchemaNode>()) {
  node->pointers.reserve(node->children.size());
  for (ArrowSchema& child : node->children) {
    node->pointers.push_back(&child);
  }
  const auto count = static_cast<std::int64_t>(node->children.size());
  ArrowSchema** const pointers = node->pointers.data();
  return {format, name, nullptr, flags, count, pointers, nullptr, release_schema, node.release()};
}

struct Column {
  const char* name;
  const char* format;
  std::int64_t flags;
};

std::unique_ptr<SchemaNode> schemas_of(const Column* columns, std::size_t count, std::size_t room) {
  auto node = std::make_unique<SchemaNode>();
  node->children.reserve(room);
  for (std::size_t i = 0; i < count; ++i) {
    node->children.push_back(schema_of(columns[i].name, columns[i].format, columns[i].flags));
  }
  return node;
}

constexpr std::array kHead{
    Column{"instrument_id", "u", kNullable},
    Column{"instrument", "i", kNullable},
    Column{"key", "l", 0},
    Column{"kind", "u", 0},
    Column{"mode", "u", 0},
    Column{"ts_recv", "tsn:UTC", 0},
    Column{"ts_event", "tsn:UTC", kNullable},
    Column{"last_trade_time", "tsn:UTC", kNullable},
    Column{"sequence", "l", kNullable},
    Column{"prev_sequence", "l", kNullable},
    Column{"flags", "S", 0},
};
constexpr std::array kLevel{
    Column{"side", "u", 0},     Column{"action", "u", 0}, Column{"price", "g", 0},
    Column{"quantity", "g", 0}, Column{"orders", "I", 0},
};
constexpr std::array<const char*, kSlots> kSlotColumns{
#define DRAGOMAN_NAME(name) #name,
    DRAGOMAN_RECORD_FIELDS(DRAGOMAN_NAME)
#undef DRAGOMAN_NAME
};
constexpr std::array<std::string_view, 5> kKindNames{"quote", "trade", "depth_snapshot", "depth_delta",
                                                     "status"};
constexpr std::array<std::string_view, 4> kModeNames{"none", "ltp", "quote", "full"};
constexpr std::array<std::string_view, 2> kSideNames{"bid", "ask"};
constexpr std::array<std::string_view, 4> kActionNames{"add", "update", "remove", "clear"};

template <class Names, class Enum>
std::string_view name_in(const Names& names, Enum value) {
  const auto index = static_cast<std::size_t>(value);
  return index < names.size() ? names[index] : std::string_view("?");
}

// --- arrays

/// What an array owns: its buffers, zeroed and at least eight bytes each, and its children.
struct ArrayNode {
  std::vector<std::unique_ptr<std::byte[]>> storage;
  std::vector<const void*> buffers;
  std::vector<ArrowArray> children;
  std::vector<ArrowArray*> pointers;

  ArrayNode() = default;
  ArrayNode(const ArrayNode&) = delete;
  ArrayNode& operator=(const ArrayNode&) = delete;
  ~ArrayNode() {
    for (ArrowArray& child : children) {
      if (child.release != nullptr) {
        child.release(&child);
      }
    }
  }

  template <class T>
  T* buffer(std::size_t count) {
    storage.push_back(std::make_unique<std::byte[]>(count * sizeof(T) + 8));
    buffers.push_back(storage.back().get());
    return reinterpret_cast<T*>(storage.back().get());
  }
  void no_buffer() { buffers.push_back(nullptr); }
};

void release_array(ArrowArray* array) {
  delete static_cast<ArrayNode*>(array->private_data);
  array->release = nullptr;
}

ArrowArray array_of(std::unique_ptr<ArrayNode> node, std::size_t length, std::int64_t nulls) {
  node->pointers.reserve(node->children.size());
  for (ArrowArray& child : node->children) {
    node->pointers.push_back(&child);
  }
  ArrowArray array{};
  array.length = static_cast<std::int64_t>(length);
  array.null_count = nulls;
  array.n_buffers = static_cast<std::int64_t>(node->buffers.size());
  array.n_children = static_cast<std::int64_t>(node->children.size());
  array.buffers = node->buffers.data();
  array.children = node->pointers.data();
  array.release = release_array;
  array.private_data = node.release();
  return array;
}

/// Write the validity bitmap of `count` values; a column without nulls has none. Return how many are null.
template <class Valid>
std::int64_t write_validity(ArrayNode& node, std::size_t count, Valid&& valid) {
  std::int64_t nulls = 0;
  for (std::size_t i = 0; i < count; ++i) {
    nulls += !valid(i);
  }
  if (nulls == 0) {
    node.no_buffer();
    return 0;
  }
  std::uint8_t* const bits = node.buffer<std::uint8_t>((count + 7) / 8);
  for (std::size_t i = 0; i < count; ++i) {
    if (valid(i)) {
      bits[i / 8] = static_cast<std::uint8_t>(bits[i / 8] | (1u << (i % 8)));
    }
  }
  return nulls;
}

constexpr auto kAlways = [](std::size_t) { return true; };

template <class T, class Value, class Valid>
ArrowArray numbers(std::size_t count, Value&& value, Valid&& valid) {
  auto node = std::make_unique<ArrayNode>();
  const std::int64_t nulls = write_validity(*node, count, valid);
  T* const data = node->buffer<T>(count);
  for (std::size_t i = 0; i < count; ++i) {
    data[i] = nulls == 0 || valid(i) ? value(i) : T{};
  }
  return array_of(std::move(node), count, nulls);
}

template <class Text, class Valid>
ArrowArray texts(std::size_t count, Text&& text, Valid&& valid) {
  auto node = std::make_unique<ArrayNode>();
  const std::int64_t nulls = write_validity(*node, count, valid);
  std::int32_t* const offsets = node->buffer<std::int32_t>(count + 1);
  std::size_t size = 0;
  for (std::size_t i = 0; i < count; ++i) {
    size += valid(i) ? text(i).size() : 0;
    offsets[i + 1] = static_cast<std::int32_t>(size);
  }
  char* const data = node->buffer<char>(size);
  for (std::size_t i = 0; i < count; ++i) {
    if (valid(i)) {
      const std::string_view one = text(i);
      std::memcpy(data + offsets[i], one.data(), one.size());
    }
  }
  return array_of(std::move(node), count, nulls);
}

ArrowArray level_structs(const std::vector<const Level*>& levels) {
  const std::size_t count = levels.size();
  const auto at = [&](std::size_t i) -> const Level& { return *levels[i]; };
  auto node = std::make_unique<ArrayNode>();
  node->no_buffer();
  auto& children = node->children;
  children.reserve(kLevel.size());
  children.push_back(texts(count, [&](std::size_t i) { return name_in(kSideNames, at(i).side); }, kAlways));
  children.push_back(
      texts(count, [&](std::size_t i) { return name_in(kActionNames, at(i).action); }, kAlways));
  children.push_back(numbers<double>(count, [&](std::size_t i) { return at(i).price; }, kAlways));
  children.push_back(numbers<double>(count, [&](std::size_t i) { return at(i).quantity; }, kAlways));
  children.push_back(numbers<std::uint32_t>(count, [&](std::size_t i) { return at(i).orders; }, kAlways));
  return array_of(std::move(node), count, 0);
}

/// Each record's range of levels as a list; null where a record carries no depth, which an empty book is not.
ArrowArray level_lists(const BatchView& batch) {
  const auto carries = [&](std::size_t i) { return (batch.records[i].flags & kFlagDepth) != 0; };
  auto node = std::make_unique<ArrayNode>();
  const std::int64_t nulls = write_validity(*node, batch.record_count, carries);
  std::int32_t* const offsets = node->buffer<std::int32_t>(batch.record_count + 1);
  std::vector<const Level*> levels;
  for (std::size_t i = 0; i < batch.record_count; ++i) {
    const Record& record = batch.records[i];
    for (std::uint32_t j = 0; carries(i) && j < record.level_count; ++j) {
      levels.push_back(batch.levels + record.level_begin + j);
    }
    offsets[i + 1] = static_cast<std::int32_t>(levels.size());
  }
  node->children.reserve(1);
  node->children.push_back(level_structs(levels));
  return array_of(std::move(node), batch.record_count, nulls);
}

}  // namespace

void export_schema(ArrowSchema& out) {
  auto node = schemas_of(kHead.data(), kHead.size(), kHead.size() + kSlots + 1);
  for (const char* const name : kSlotColumns) {
    node->children.push_back(schema_of(name, "g", kNullable));
  }
  auto list = std::make_unique<SchemaNode>();
  list->children.reserve(1);
  list->children.push_back(
      schema_of("item", "+s", 0, schemas_of(kLevel.data(), kLevel.size(), kLevel.size())));
  node->children.push_back(schema_of("levels", "+l", kNullable, std::move(list)));
  out = schema_of("", "+s", 0, std::move(node));
}

void export_batch(const BatchView& batch, ArrowArray& out) {
  const std::size_t count = batch.record_count;
  const auto at = [&](std::size_t i) -> const Record& { return batch.records[i]; };
  const auto bound = [&](std::size_t i) { return at(i).instrument >= 0; };
  const auto has = [&](std::uint32_t bit) {
    return [&batch, bit](std::size_t i) { return (batch.records[i].present & bit) != 0; };
  };
  auto node = std::make_unique<ArrayNode>();
  node->no_buffer();
  auto& columns = node->children;
  columns.reserve(kHead.size() + kSlots + 1);
  columns.push_back(texts(count, [&](std::size_t i) { return instrument_name(at(i).instrument); }, bound));
  columns.push_back(numbers<std::int32_t>(count, [&](std::size_t i) { return at(i).instrument; }, bound));
  columns.push_back(numbers<std::int64_t>(count, [&](std::size_t i) { return at(i).key; }, kAlways));
  columns.push_back(texts(count, [&](std::size_t i) { return name_in(kKindNames, at(i).kind); }, kAlways));
  columns.push_back(texts(count, [&](std::size_t i) { return name_in(kModeNames, at(i).mode); }, kAlways));
  const auto integer = [&](std::int64_t Record::* member, auto&& valid) {
    columns.push_back(numbers<std::int64_t>(count, [&](std::size_t i) { return at(i).*member; }, valid));
  };
  integer(&Record::ts_recv, kAlways);
  integer(&Record::ts_event, has(kHasTsEvent));
  integer(&Record::last_trade_time, has(kHasLastTradeTime));
  integer(&Record::sequence, has(kHasSequence));
  integer(&Record::prev_sequence, has(kHasPrevSequence));
  columns.push_back(numbers<std::uint16_t>(count, [&](std::size_t i) { return at(i).flags; }, kAlways));
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    columns.push_back(
        numbers<double>(count, [&](std::size_t i) { return at(i).values[slot]; }, has(1u << slot)));
  }
  columns.push_back(level_lists(batch));
  out = array_of(std::move(node), count, 0);
}

}  // namespace dragoman

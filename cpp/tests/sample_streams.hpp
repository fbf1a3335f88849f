#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dragoman/packed_spec.hpp"

/// Streams that between them use every part of the packed engine; for the tests and the fuzz target.
namespace samples {

using namespace dragoman::packed;

inline PartSpec part(const char* type, std::int64_t offset, std::int64_t shift = 0) {
  return {type, offset, shift, ~std::uint64_t{0}};
}

inline FieldSpec field(const char* to, const char* type, std::int64_t offset) {
  FieldSpec made;
  made.to = to;
  made.type = type;
  made.offset = offset;
  return made;
}

inline FieldSpec scaled(const char* to, const char* type, std::int64_t offset) {
  FieldSpec made = field(to, type, offset);
  made.scaled = true;
  return made;
}

inline FieldSpec rounded(const char* to, const char* type, std::int64_t offset, std::int64_t digits) {
  FieldSpec made = field(to, type, offset);
  made.digits = digits;
  return made;
}

inline FieldSpec time(const char* to, const char* type, std::int64_t offset, const char* unit) {
  FieldSpec made = field(to, type, offset);
  made.unit = unit;
  return made;
}

inline LevelsSpec levels(const char* side, std::int64_t rows, ColumnSpec price, ColumnSpec quantity,
                         ColumnSpec orders, std::int64_t stride) {
  LevelsSpec made;
  made.side = std::string(side);
  made.rows = rows;
  made.price = std::move(price);
  made.quantity = std::move(quantity);
  made.orders = std::move(orders);
  made.stride = stride;
  return made;
}

inline PacketSpec packet(const char* name, std::int64_t size, std::vector<PartSpec> key,
                         std::vector<FieldSpec> fields) {
  PacketSpec made;
  made.name = name;
  made.size = size;
  made.key = std::move(key);
  made.fields = std::move(fields);
  return made;
}

/// Big endian, counted packets chosen by length, divisor by the low byte of the key.
inline StreamSpec by_length() {
  StreamSpec stream;
  stream.name = "by_length";
  stream.byte_order = "big";
  stream.framing.how = "counted";
  stream.framing.header = 2;
  stream.framing.count = part("u16", 0);
  stream.framing.length = "u16";
  stream.framing.min_frame = 4;
  stream.select.how = "length";
  ScaleSpec scale;
  scale.how = "by_part";
  scale.divisor = 100;
  scale.part = part("u32", 0);
  scale.table = {{3, 10'000'000}, {6, 10'000}};
  PacketSpec brief = packet("brief", 8, {part("u32", 0)}, {scaled("last_price", "i32", 4)});
  PacketSpec full =
      packet("full", 64, {part("u32", 0)},
             {scaled("last_price", "i32", 4), field("volume", "u32", 8), time("ts_event", "u32", 12, "s")});
  full.levels = {levels("bid", 2, {"i32", 20, 0}, {"u32", 16, 0}, {"u16", 24, 0}, 12),
                 levels("ask", 2, {"i32", 44, 0}, {"u32", 40, 0}, {"u16", 48, 0}, 12)};
  for (LevelsSpec& table : full.levels) {
    table.scaled = true;
  }
  brief.scale = full.scale = scale;
  stream.layouts = {brief, full};
  return stream;
}

/// Little endian, packets back to back with code and length: floats, merging, flags, open tables, control,
/// sentinels.
inline StreamSpec by_code() {
  StreamSpec stream;
  stream.name = "by_code";
  stream.byte_order = "little";
  stream.framing.how = "back_to_back";
  stream.framing.length_at = part("i16", 1);
  stream.select = {"code", part("u8", 0)};
  const std::vector<PartSpec> key{part("u8", 3, 32), part("u32", 4)};

  PacketSpec ticker =
      packet("ticker", 16, key, {rounded("last_price", "f32", 8, 2), time("ts_event", "u32", 12, "s")});
  ticker.code = 2;
  ticker.merge = true;
  ticker.fields[1].shift_s = -19800;
  ticker.fields[1].absent = 0;
  PacketSpec interest = packet("interest", 12, key, {field("oi", "u32", 8)});
  interest.code = 5;
  interest.merge = true;
  interest.fields[0].unchanged = 0xFFFFFFFF;

  PacketSpec wide = packet(
      "wide", 72, {part("digits[8]", 3)},
      {field("sequence", "u64", 16), time("ts_event", "i64", 24, "ms"), scaled("last_price", "i64", 32),
       scaled("high", "u64", 40), field("volume", "f64", 48), rounded("average_price", "f64", 56, 4)});
  wide.code = 6;
  wide.scale.how = "from_fields";
  wide.scale.precision = part("u8", 64);
  wide.scale.multiplier = part("u16", 66);

  PacketSpec one_side = packet("one_side", 12, key, {field("prev_sequence", "u32", 8)});
  one_side.code = 41;
  one_side.kind = "depth_snapshot";
  one_side.grows = true;
  LevelsSpec rest = levels("bid", 1, {"f64", 12, 0}, {"u32", 20, 0}, {"u32", 24, 0}, 16);
  rest.rows = std::string("rest");
  one_side.levels = {rest};

  PacketSpec flagged = packet("flagged", 14, key, {});
  flagged.code = 42;
  flagged.kind = "depth_delta";
  flagged.grows = true;
  LevelsSpec rows = levels("bid", 1, {"i64", 16, 0}, {"f32", 24, 0}, {"i16", 28, 0}, 16);
  rows.side = SideFlagSpec{"u16", 14, 1, 0};
  rows.rows = part("u16", 12);
  rows.max_rows = 64;
  rows.divisor = 100;
  rows.empty = "none";
  flagged.levels = {rows};
  flagged.when = {part("u8", 3), 7};
  PacketSpec plain = packet("plain", 14, key, {field("last_price", "i16", 12)});
  plain.code = 42;

  PacketSpec status;
  status.name = "status";
  status.size = 8;
  status.code = 7;
  status.kind = "status";
  PacketSpec control;
  control.name = "control";
  control.code = 50;
  control.control = true;
  stream.layouts = {ticker, interest, wide, one_side, flagged, plain, status, control};
  return stream;
}

/// Big endian topic records without lengths: define, refer by vector, refer by field; message numbers; data
/// by type.
inline StreamSpec by_topic() {
  StreamSpec stream;
  stream.name = "by_topic";
  stream.byte_order = "big";
  stream.framing.how = "counted";
  stream.framing.header = 9;
  stream.framing.count = part("u16", 7);
  stream.select = {"code", part("u8", 0)};
  stream.data_when = {part("u8", 2), {6}};
  stream.message_number = part("u32", 3);
  constexpr std::int64_t kHole = -2147483648;

  PacketSpec define;
  define.name = "define";
  define.code = 0x53;
  define.merge = true;
  define.scale.how = "topic";
  define.define.emplace();
  define.define->topic = part("u16", 1);
  define.define->name_length = part("u8", 3);
  define.define->name_offset = 4;
  define.define->vector = {part("u8", 0), "i32", kHole, true};
  define.define->multiplier = part("u16", 2);
  define.define->precision = part("u8", 4);
  define.define->tail_size = 5;
  define.define->tail_texts = 3;
  PacketSpec update;
  update.name = "update";
  update.code = 0x55;
  update.merge = true;
  update.scale.how = "topic";
  update.refer = ReferSpec{part("u16", 1), VectorSpec{part("u8", 3), "i32", kHole, false}};
  PacketSpec lite;
  lite.name = "lite";
  lite.size = 7;
  lite.code = 0x4C;
  lite.merge = true;
  lite.mode = "ltp";
  lite.scale.how = "topic";
  lite.refer = ReferSpec{part("u16", 1), std::nullopt};
  lite.fields = {scaled("last_price", "i32", 3)};
  stream.layouts = {define, update, lite};

  SchemaSpec scrip;
  scrip.name = "scrip";
  scrip.prefix = "sf";
  scrip.fields = {scaled("last_price", "i32", 0), field("volume", "u32", 4), time("ts_event", "i32", 8, "s")};
  SchemaSpec depth;
  depth.name = "depth";
  depth.prefix = "dp";
  depth.kind = "depth_snapshot";
  depth.levels = {levels("bid", 2, {"i32", 0, 0}, {"i32", 8, 0}, {"i32", 16, 0}, 4),
                  levels("ask", 2, {"i32", 24, 0}, {"i32", 32, 0}, {"i32", 40, 0}, 4)};
  for (LevelsSpec& table : depth.levels) {
    table.scaled = true;
  }
  stream.schemas = {scrip, depth};
  return stream;
}

}  // namespace samples

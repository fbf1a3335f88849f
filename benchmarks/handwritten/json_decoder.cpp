#define PY_SSIZE_T_CLEAN
// A decoder for the JSON of two feeds, written by hand for them alone: what the JSON engine is measured
// against. It knows every key and their order, takes no white space, no escapes and no other order, and makes
// the same records and levels from the same bytes. Built by benchmarks/build.py, only for the benchmark.

#include <Python.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "dragoman/record.hpp"
#include "dragoman/text_map.hpp"

namespace {

using dragoman::Action;
using dragoman::kAbsentInt;
using dragoman::Kind;
using dragoman::kSlots;
using dragoman::Level;
using dragoman::Record;
using dragoman::Side;
using dragoman::Slot;
using dragoman::TextMap;

constexpr double kPowers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                              1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
constexpr std::uint32_t bit(Slot slot) {
  return 1u << static_cast<unsigned>(slot);
}

TextMap* g_keys;
Record g_blank;
std::vector<Record> g_records(65536);
std::vector<Level> g_levels(1 << 20);

inline void copy_blank(Record& to) {
  // In 16-byte pieces: a struct copy of this size becomes rep movs.
  auto* d = reinterpret_cast<std::uint8_t*>(&to);
  const auto* s = reinterpret_cast<const std::uint8_t*>(&g_blank);
#pragma GCC unroll 17
  for (int i = 0; i < 17; ++i) {
    __builtin_memcpy(d + 16 * i, s + 16 * i, 16);
  }
}

/// What stands at `p` must be `text`; a decoder this rigid gives up otherwise.
template <std::size_t N>
inline bool expect(const char*& p, const char (&text)[N]) {
  if (std::memcmp(p, text, N - 1) != 0) return false;
  p += N - 1;
  return true;
}

inline std::int64_t whole(const char*& p) {
  std::int64_t value = 0;
  for (; static_cast<unsigned>(*p - '0') < 10; ++p) value = value * 10 + (*p - '0');
  return value;
}

inline double decimal(const char*& p, std::uint8_t& decimals) {
  std::uint64_t value = 0;
  for (; static_cast<unsigned>(*p - '0') < 10; ++p) value = value * 10 + static_cast<unsigned>(*p - '0');
  decimals = 0;
  if (*p == '.') {
    const char* const point = ++p;
    for (; static_cast<unsigned>(*p - '0') < 10; ++p) value = value * 10 + static_cast<unsigned>(*p - '0');
    decimals = static_cast<std::uint8_t>(p - point);
  }
  return static_cast<double>(value) / kPowers[decimals];
}

inline double decimal(const char*& p) {
  std::uint8_t unused;
  return decimal(p, unused);
}

inline std::string_view text(const char*& p) {
  const char* const from = p;
  while (*p != '"') ++p;
  return {from, static_cast<std::size_t>(p++ - from)};
}

inline void name(Record& record, std::string_view key) {
  record.key = TextMap::number_of(key);
  const std::int32_t* const bound = g_keys->find(key);
  record.instrument = bound != nullptr ? *bound : -1;
}

inline bool side(const char*& p, Level*& level, Side which) {
  while (*p == '[') {
    if (!expect(p, "[\"")) return false;
    level->price = decimal(p, level->price_decimals);
    if (!expect(p, "\",\"")) return false;
    level->quantity = decimal(p, level->quantity_decimals);
    if (!expect(p, "\"]")) return false;
    level->orders = 0;
    level->side = which;
    level->action = level->quantity == 0.0 ? Action::remove : Action::update;
    ++level;
    p += *p == ',';
  }
  return true;
}

bool depth(const char*& p, Record& record, Level*& level) {
  if (!expect(p, "\"depthUpdate\",\"E\":")) return false;
  record.ts_event = whole(p) * 1'000'000;
  if (!expect(p, ",\"T\":")) return false;
  record.last_trade_time = whole(p) * 1'000'000;
  if (!expect(p, ",\"s\":\"")) return false;
  name(record, text(p));
  if (!expect(p, ",\"U\":")) return false;
  whole(p);
  if (!expect(p, ",\"u\":")) return false;
  record.sequence = whole(p);
  if (!expect(p, ",\"pu\":")) return false;
  record.prev_sequence = whole(p);
  Level* const first = level;
  if (!expect(p, ",\"b\":[") || !side(p, level, Side::bid) || !expect(p, "],\"a\":[") ||
      !side(p, level, Side::ask) || !expect(p, "]}")) {
    return false;
  }
  record.kind = Kind::depth_delta;
  record.flags = dragoman::kFlagDepth;
  record.level_begin = static_cast<std::uint32_t>(first - g_levels.data());
  record.level_count = static_cast<std::uint32_t>(level - first);
  record.present = dragoman::kHasTsEvent | dragoman::kHasLastTradeTime | dragoman::kHasSequence |
                   dragoman::kHasPrevSequence;
  return true;
}

inline std::int64_t two(const char* p) {
  return (p[0] - '0') * 10 + (p[1] - '0');
}

/// "2021-02-22T15:51:44.208123456Z"; the date of the message before is mostly that of the next.
inline std::int64_t rfc3339(const char*& p) {
  static char day_text[10];
  static std::int64_t day = 0;
  if (std::memcmp(p, day_text, 10) != 0) {
    std::memcpy(day_text, p, 10);
    std::int64_t y = two(p) * 100 + two(p + 2);
    const std::int64_t m = two(p + 5), d = two(p + 8);
    y -= m <= 2;
    const std::int64_t era = y / 400, yoe = y - era * 400;
    const std::int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    day = era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
  }
  std::int64_t ns = (day * 86400 + two(p + 11) * 3600 + two(p + 14) * 60 + two(p + 17)) * 1'000'000'000;
  p += 19;
  if (*p == '.') {
    ++p;
    for (std::int64_t step = 100'000'000; *p != 'Z'; ++p, step /= 10) ns += step * (*p - '0');
  }
  p += 2;  // Z and the quote
  return ns;
}

bool quote(const char*& p, Record& record) {
  auto& v = record.values;
  if (!expect(p, "\"q\",\"S\":\"")) return false;
  name(record, text(p));
  if (!expect(p, ",\"bx\":\"")) return false;
  text(p);
  if (!expect(p, ",\"bp\":")) return false;
  v[static_cast<std::size_t>(Slot::bid_price)] = decimal(p);
  if (!expect(p, ",\"bs\":")) return false;
  v[static_cast<std::size_t>(Slot::bid_quantity)] = decimal(p);
  if (!expect(p, ",\"ax\":\"")) return false;
  text(p);
  if (!expect(p, ",\"ap\":")) return false;
  v[static_cast<std::size_t>(Slot::ask_price)] = decimal(p);
  if (!expect(p, ",\"as\":")) return false;
  v[static_cast<std::size_t>(Slot::ask_quantity)] = decimal(p);
  if (!expect(p, ",\"t\":\"")) return false;
  record.ts_event = rfc3339(p);
  if (!expect(p, ",\"c\":[\"R\"],\"z\":\"C\"}")) return false;
  record.kind = Kind::quote;
  record.present = bit(Slot::bid_price) | bit(Slot::bid_quantity) | bit(Slot::ask_price) |
                   bit(Slot::ask_quantity) | dragoman::kHasTsEvent;
  return true;
}

bool trade(const char*& p, Record& record) {
  auto& v = record.values;
  if (!expect(p, "\"t\",\"i\":")) return false;
  record.sequence = whole(p);
  if (!expect(p, ",\"S\":\"")) return false;
  name(record, text(p));
  if (!expect(p, ",\"x\":\"")) return false;
  text(p);
  if (!expect(p, ",\"p\":")) return false;
  v[static_cast<std::size_t>(Slot::last_price)] = decimal(p);
  if (!expect(p, ",\"s\":")) return false;
  v[static_cast<std::size_t>(Slot::last_quantity)] = decimal(p);
  if (!expect(p, ",\"t\":\"")) return false;
  record.last_trade_time = rfc3339(p);
  if (!expect(p, ",\"c\":[\"@\",\"I\"],\"z\":\"C\"}")) return false;
  record.kind = Kind::trade;
  record.present =
      bit(Slot::last_price) | bit(Slot::last_quantity) | dragoman::kHasLastTradeTime | dragoman::kHasSequence;
  return true;
}

/// decode(frame, ts_recv) -> (records, levels): how many of each now lie in the arrays.
PyObject* decode(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2 || !PyBytes_Check(args[0])) {
    PyErr_SetString(PyExc_TypeError, "decode(bytes, int)");
    return nullptr;
  }
  const char* const start = PyBytes_AS_STRING(args[0]);  // ends with a zero, which every loop stops at
  const char* p = start;
  const std::int64_t ts_recv = PyLong_AsLongLong(args[1]);
  Record* record = g_records.data();
  Level* level = g_levels.data();
  const bool many = *p == '[';
  p += many;
  while (*p == '{') {
    const char* const from = p;
    copy_blank(*record);
    bool good = false;
    if (p[2] == 'e') {
      p += 5;
      good = depth(p, *record, level);
      record->layout = 0;
    } else if (p[2] == 'T') {
      p += 5;
      good = p[1] == 'q' ? quote(p, *record) : trade(p, *record);
    }
    if (!good) break;
    record->ts_recv = ts_recv;
    record->changed = record->present;
    record->source = static_cast<std::uint32_t>(from - start);
    if (record->level_count == 0) record->level_begin = static_cast<std::uint32_t>(level - g_levels.data());
    ++record;
    p += *p == ',';
  }
  if (record != g_records.data()) record[-1].flags |= dragoman::kFlagLast;
  return Py_BuildValue("nn", static_cast<Py_ssize_t>(record - g_records.data()),
                       static_cast<Py_ssize_t>(level - g_levels.data()));
}

PyObject* bind(PyObject*, PyObject* args) {
  const char* key = nullptr;
  Py_ssize_t size = 0;
  int instrument = 0;
  if (!PyArg_ParseTuple(args, "y#i", &key, &size, &instrument)) return nullptr;
  g_keys->put({key, static_cast<std::size_t>(size)}, instrument);
  Py_RETURN_NONE;
}

PyObject* arrays(PyObject*, PyObject* args) {
  Py_ssize_t records = 0, levels = 0;
  if (!PyArg_ParseTuple(args, "nn", &records, &levels)) return nullptr;
  return Py_BuildValue("y#y#", reinterpret_cast<const char*>(g_records.data()),
                       records * static_cast<Py_ssize_t>(sizeof(Record)),
                       reinterpret_cast<const char*>(g_levels.data()),
                       levels * static_cast<Py_ssize_t>(sizeof(Level)));
}

PyMethodDef methods[] = {
    {"decode", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(decode)), METH_FASTCALL, nullptr},
    {"bind", bind, METH_VARARGS, nullptr},
    {"arrays", arrays, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyModuleDef module{
    PyModuleDef_HEAD_INIT, "handwritten", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

// The table of the core, compiled in: looking up names should cost both sides the same.
#include "../../cpp/src/text_map.cpp"

PyMODINIT_FUNC PyInit_handwritten() {
  g_keys = new TextMap;
  std::memset(&g_blank, 0, sizeof g_blank);
  g_blank.ts_event = g_blank.last_trade_time = g_blank.sequence = g_blank.prev_sequence = kAbsentInt;
  for (double& value : g_blank.values) value = std::nan("");
  return PyModule_Create(&module);
}

#define PY_SSIZE_T_CLEAN
// A decoder for one broker's ticks, written by hand for that broker alone: what the layout engine is measured
// against. It makes the same records and levels from the same bytes, knows every offset at compile time, and
// does nothing else. Built by benchmarks/build.py, only for the benchmark.

#include <Python.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "dragoman/record.hpp"

namespace {

using dragoman::Action;
using dragoman::kAbsentInt;
using dragoman::Kind;
using dragoman::kSlots;
using dragoman::Level;
using dragoman::Mode;
using dragoman::Record;
using dragoman::Side;
using dragoman::Slot;

std::uint32_t u32(const std::uint8_t* p) {
  std::uint32_t v;
  std::memcpy(&v, p, 4);
  return __builtin_bswap32(v);
}
double i32(const std::uint8_t* p) {
  return static_cast<double>(static_cast<std::int32_t>(u32(p)));
}
double count(const std::uint8_t* p) {
  return static_cast<double>(u32(p));
}
std::uint16_t u16(const std::uint8_t* p) {
  return static_cast<std::uint16_t>(p[0] << 8 | p[1]);
}

constexpr std::uint32_t bit(Slot slot) {
  return 1u << static_cast<unsigned>(slot);
}
constexpr std::uint32_t kLtpBits = bit(Slot::last_price);
constexpr std::uint32_t kQuoteBits = kLtpBits | bit(Slot::last_quantity) | bit(Slot::average_price) |
                                     bit(Slot::volume) | bit(Slot::total_buy_quantity) |
                                     bit(Slot::total_sell_quantity) | bit(Slot::open) | bit(Slot::high) |
                                     bit(Slot::low) | bit(Slot::previous_close);
constexpr std::uint32_t kFullBits = kQuoteBits | bit(Slot::oi) | bit(Slot::oi_high) | bit(Slot::oi_low);

/// Tokens to instruments: open addressing, power of two, never deletes.
struct Keys {
  std::vector<std::uint32_t> tokens = std::vector<std::uint32_t>(8192, 0);
  std::vector<std::int32_t> instruments = std::vector<std::int32_t>(8192, -1);
  static std::size_t slot(std::uint32_t token) { return (token * 2654435761u) >> 19; }
  void bind(std::uint32_t token, std::int32_t instrument) {
    std::size_t i = slot(token);
    while (tokens[i] != 0 && tokens[i] != token) i = (i + 1) & 8191;
    tokens[i] = token;
    instruments[i] = instrument;
  }
  std::int32_t find(std::uint32_t token) const {
    std::size_t i = slot(token);
    while (tokens[i] != token) {
      if (tokens[i] == 0) return -1;
      i = (i + 1) & 8191;
    }
    return instruments[i];
  }
};

Keys g_keys;
Record g_blank[3];
double g_divisor[256];
std::vector<Record> g_records(4096);
std::vector<Level> g_levels(40960);

void set_up() {
  for (auto& record : g_blank) {
    std::memset(&record, 0, sizeof record);
    record.ts_event = record.last_trade_time = record.sequence = record.prev_sequence = kAbsentInt;
    for (double& value : record.values) value = std::nan("");
    record.kind = Kind::quote;
  }
  for (double& divisor : g_divisor) divisor = 100;
  g_divisor[3] = 10'000'000;
  g_divisor[6] = 10'000;
}

inline void copy_blank(Record& to, const Record& from) {
  // In 16-byte pieces: a struct copy of this size becomes rep movs.
  auto* d = reinterpret_cast<std::uint8_t*>(&to);
  const auto* s = reinterpret_cast<const std::uint8_t*>(&from);
#pragma GCC unroll 17
  for (int i = 0; i < 17; ++i) {
    __builtin_memcpy(d + 16 * i, s + 16 * i, 16);
  }
}

inline double& at(Record& record, Slot slot) {
  return record.values[static_cast<std::size_t>(slot)];
}

inline void quote_fields(Record& record, const std::uint8_t* p, double divisor) {
  at(record, Slot::last_quantity) = count(p + 8);
  at(record, Slot::average_price) = i32(p + 12) / divisor;
  at(record, Slot::volume) = count(p + 16);
  at(record, Slot::total_buy_quantity) = count(p + 20);
  at(record, Slot::total_sell_quantity) = count(p + 24);
  at(record, Slot::open) = i32(p + 28) / divisor;
  at(record, Slot::high) = i32(p + 32) / divisor;
  at(record, Slot::low) = i32(p + 36) / divisor;
  at(record, Slot::previous_close) = i32(p + 40) / divisor;
}

inline Level* side(Level* to, const std::uint8_t* p, double divisor, Side which) {
  for (int i = 0; i < 5; ++i, p += 12) {
    const std::uint32_t quantity = u32(p);
    const std::uint32_t price = u32(p + 4);
    if ((quantity | price) == 0) continue;
    to->price = static_cast<double>(static_cast<std::int32_t>(price)) / divisor;
    to->quantity = quantity;
    to->orders = u16(p + 8);
    to->side = which;
    to->action = Action::add;
    to->price_decimals = to->quantity_decimals = 255;
    ++to;
  }
  return to;
}

/// decode(frame, ts_recv) -> (records, levels): how many of each now lie in the arrays.
PyObject* decode(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2 || !PyBytes_Check(args[0])) {
    PyErr_SetString(PyExc_TypeError, "decode(bytes, int)");
    return nullptr;
  }
  const auto* start = reinterpret_cast<const std::uint8_t*>(PyBytes_AS_STRING(args[0]));
  const auto* end = start + PyBytes_GET_SIZE(args[0]);
  const std::int64_t ts_recv = PyLong_AsLongLong(args[1]);
  if (end - start < 4) return Py_BuildValue("ii", 0, 0);
  const std::uint8_t* p = start + 2;
  Record* record = g_records.data();
  Level* level = g_levels.data();
  for (unsigned left = u16(start); left != 0 && end - p >= 2; --left) {
    const unsigned length = u16(p);
    p += 2;
    if (static_cast<std::size_t>(end - p) < length) break;
    const std::uint32_t token = u32(p);
    const double divisor = g_divisor[token & 0xff];
    if (length == 8) {
      copy_blank(*record, g_blank[0]);
      record->mode = Mode::ltp;
      record->present = kLtpBits;
    } else if (length == 44) {
      copy_blank(*record, g_blank[1]);
      record->mode = Mode::quote;
      record->present = kQuoteBits;
      quote_fields(*record, p, divisor);
    } else if (length == 184) {
      copy_blank(*record, g_blank[2]);
      record->mode = Mode::full;
      std::uint32_t present = kFullBits;
      quote_fields(*record, p, divisor);
      at(*record, Slot::oi) = count(p + 48);
      at(*record, Slot::oi_high) = count(p + 52);
      at(*record, Slot::oi_low) = count(p + 56);
      if (const std::uint32_t traded = u32(p + 44)) {
        record->last_trade_time = traded * 1'000'000'000LL;
        present |= dragoman::kHasLastTradeTime;
      }
      if (const std::uint32_t stamped = u32(p + 60)) {
        record->ts_event = stamped * 1'000'000'000LL;
        present |= dragoman::kHasTsEvent;
      }
      Level* const first = level;
      Level* const asks = side(first, p + 64, divisor, Side::bid);
      level = side(asks, p + 124, divisor, Side::ask);
      if (asks != first) {
        at(*record, Slot::bid_price) = first->price;
        at(*record, Slot::bid_quantity) = first->quantity;
        present |= bit(Slot::bid_price) | bit(Slot::bid_quantity);
      }
      if (level != asks) {
        at(*record, Slot::ask_price) = asks->price;
        at(*record, Slot::ask_quantity) = asks->quantity;
        present |= bit(Slot::ask_price) | bit(Slot::ask_quantity);
      }
      record->level_begin = static_cast<std::uint32_t>(first - g_levels.data());
      record->level_count = static_cast<std::uint32_t>(level - first);
      record->flags = dragoman::kFlagDepth | dragoman::kFlagSnapshot;
      record->present = present;
    } else {
      p += length;
      continue;
    }
    at(*record, Slot::last_price) = i32(p + 4) / divisor;
    record->changed = record->present;
    record->ts_recv = ts_recv;
    record->key = token;
    record->instrument = g_keys.find(token);
    record->source = static_cast<std::uint32_t>(p - start);
    ++record;
    p += length;
  }
  if (record != g_records.data()) record[-1].flags |= dragoman::kFlagLast;
  return Py_BuildValue("nn", static_cast<Py_ssize_t>(record - g_records.data()),
                       static_cast<Py_ssize_t>(level - g_levels.data()));
}

PyObject* bind(PyObject*, PyObject* args) {
  unsigned token = 0;
  int instrument = 0;
  if (!PyArg_ParseTuple(args, "Ii", &token, &instrument)) return nullptr;
  g_keys.bind(token, instrument);
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

PyMODINIT_FUNC PyInit_handwritten() {
  set_up();
  return PyModule_Create(&module);
}

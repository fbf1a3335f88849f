#define PY_SSIZE_T_CLEAN
// A decoder for one broker's protobuf feed, written by hand for that broker alone: what the layout engine is
// measured against. It makes the same records and levels from the same bytes, knows every field number at
// compile time, checks every bound, and does nothing else. Built by benchmarks/build.py, only for the
// benchmark.

#include <Python.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "dragoman/record.hpp"
#include "dragoman/text_map.hpp"

namespace {

using dragoman::Action;
using dragoman::kAbsentInt;
using dragoman::Kind;
using dragoman::Level;
using dragoman::Mode;
using dragoman::Record;
using dragoman::Side;
using dragoman::Slot;

/// Texts to instruments: open addressing, power of two, never deletes.
struct Keys {
  struct Entry {
    std::string text;
    std::int64_t number = 0;
    std::int32_t instrument = -1;
  };
  std::vector<Entry> entries = std::vector<Entry>(8192);
  static std::size_t slot(std::string_view text) {
    std::uint64_t hash = text.size();
    std::size_t i = 0;
    for (; i + 8 <= text.size(); i += 8) {
      std::uint64_t word;
      std::memcpy(&word, text.data() + i, 8);
      hash = (hash ^ word) * 0xFF51AFD7ED558CCDu;
      hash ^= hash >> 32;
    }
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + i, text.size() - i);
    hash = (hash ^ word) * 0xFF51AFD7ED558CCDu;
    return (hash ^ (hash >> 32)) & 8191;
  }
  void bind(std::string_view text, std::int32_t instrument) {
    std::size_t i = slot(text);
    while (entries[i].instrument >= 0 && entries[i].text != text) i = (i + 1) & 8191;
    entries[i] = {std::string(text), dragoman::TextMap::number_of(text), instrument};
  }
  const Entry* find(std::string_view text) const {
    std::size_t i = slot(text);
    while (entries[i].instrument >= 0) {
      if (entries[i].text == text) return &entries[i];
      i = (i + 1) & 8191;
    }
    return nullptr;
  }
};

Keys g_keys;
Record g_blank;
std::vector<Record> g_records(4096);
std::vector<Level> g_levels(40960);
Level g_asks[64];

constexpr std::uint32_t bit(Slot slot) {
  return 1u << static_cast<unsigned>(slot);
}

/// The bytes of one message.
struct Reader {
  const std::uint8_t* at;
  const std::uint8_t* end;
  bool bad = false;

  [[nodiscard]] bool more() const { return at < end; }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && at < end; shift += 7) {
      const std::uint8_t byte = *at++;
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    bad = true;
    return 0;
  }
  double f64() {
    if (end - at < 8) {
      bad = true;
      at = end;
      return 0;
    }
    double value;
    std::memcpy(&value, at, 8);
    at += 8;
    return value;
  }
  Reader message() {
    const std::uint64_t size = varint();
    if (size > static_cast<std::uint64_t>(end - at)) {
      bad = true;
      return {end, end};
    }
    const Reader inner{at, at + size};
    at += size;
    return inner;
  }
  void skip(std::uint8_t tag) {
    switch (tag & 7) {
      case 0:
        varint();
        break;
      case 1:
        f64();
        break;
      case 2:
        message();
        break;
      case 5:
        if (end - at < 4) {
          bad = true;
          at = end;
        } else {
          at += 4;
        }
        break;
      default:
        bad = true;
        at = end;
    }
  }
};

struct Build {
  Record* record;
  std::uint32_t present;
  Level* bid;
  Level* ask;
  bool bad;

  void set(Slot slot, double value) {
    if (!std::isfinite(value)) {
      bad = true;
      return;
    }
    record->values[static_cast<std::size_t>(slot)] = value;
    present |= bit(slot);
  }
};

void ltpc(Reader in, Build& out) {
  out.set(Slot::last_price, 0.0);
  while (in.more()) {
    switch (const std::uint8_t tag = *in.at++) {
      case 0x09:
        out.set(Slot::last_price, in.f64());
        break;
      case 0x10:
        if (__builtin_mul_overflow(static_cast<std::int64_t>(in.varint()), 1'000'000,
                                   &out.record->last_trade_time)) {
          out.bad = true;
        }
        out.present |= dragoman::kHasLastTradeTime;
        break;
      case 0x18:
        out.set(Slot::last_quantity, static_cast<double>(static_cast<std::int64_t>(in.varint())));
        break;
      case 0x21:
        out.set(Slot::previous_close, in.f64());
        break;
      default:
        in.skip(tag);
    }
  }
  out.bad |= in.bad;
}

void quote(Reader in, double (&row)[4], Build& out) {
  row[0] = row[1] = row[2] = row[3] = 0.0;
  while (in.more()) {
    switch (const std::uint8_t tag = *in.at++) {
      case 0x08:
        row[0] = static_cast<double>(static_cast<std::int64_t>(in.varint()));
        break;
      case 0x11:
        row[1] = in.f64();
        break;
      case 0x18:
        row[2] = static_cast<double>(static_cast<std::int64_t>(in.varint()));
        break;
      case 0x21:
        row[3] = in.f64();
        break;
      default:
        in.skip(tag);
    }
  }
  out.bad |= in.bad || !std::isfinite(row[1]) || !std::isfinite(row[3]);
}

void depth(Reader in, Build& out) {
  double row[4];
  while (in.more()) {
    if (const std::uint8_t tag = *in.at++; tag == 0x0A) {
      quote(in.message(), row, out);
      if (row[0] != 0.0 || row[1] != 0.0) *out.bid++ = {row[1], row[0], 0, Side::bid, Action::add, 255, 255};
      if ((row[2] != 0.0 || row[3] != 0.0) && out.ask != std::end(g_asks)) {
        *out.ask++ = {row[3], row[2], 0, Side::ask, Action::add, 255, 255};
      }
    } else {
      in.skip(tag);
    }
  }
  out.bad |= in.bad;
}

void ohlc(Reader in, Build& out) {
  double values[4];
  unsigned seen = 0;
  bool day = false;
  while (in.more()) {
    const std::uint8_t tag = *in.at++;
    if (tag == 0x0A) {
      const Reader text = in.message();
      day = text.end - text.at == 2 && std::memcmp(text.at, "1d", 2) == 0;
    } else if ((tag & 7) == 1 && tag >= 0x11 && tag <= 0x29) {
      values[(tag >> 3) - 2] = in.f64();
      seen |= 1u << ((tag >> 3) - 2);
    } else {
      in.skip(tag);
    }
  }
  out.bad |= in.bad;
  if (!day) return;
  constexpr Slot kSlots[] = {Slot::open, Slot::high, Slot::low, Slot::session_close};
  for (unsigned i = 0; i < 4; ++i) {
    if ((seen >> i & 1u) != 0) out.set(kSlots[i], values[i]);
  }
}

void candles(Reader in, Build& out) {
  while (in.more()) {
    if (const std::uint8_t tag = *in.at++; tag == 0x0A) {
      ohlc(in.message(), out);
    } else {
      in.skip(tag);
    }
  }
  out.bad |= in.bad;
}

void market(Reader in, Build& out) {
  while (in.more()) {
    switch (const std::uint8_t tag = *in.at++) {
      case 0x0A:
        ltpc(in.message(), out);
        break;
      case 0x12:
        out.record->flags = dragoman::kFlagDepth | dragoman::kFlagSnapshot;
        depth(in.message(), out);
        break;
      case 0x22:
        candles(in.message(), out);
        break;
      case 0x29:
        out.set(Slot::average_price, in.f64());
        break;
      case 0x30:
        out.set(Slot::volume, static_cast<double>(static_cast<std::int64_t>(in.varint())));
        break;
      case 0x39:
        out.set(Slot::oi, in.f64());
        break;
      case 0x49:
        out.set(Slot::total_buy_quantity, in.f64());
        break;
      case 0x51:
        out.set(Slot::total_sell_quantity, in.f64());
        break;
      default:
        in.skip(tag);
    }
  }
  out.bad |= in.bad;
}

/// Full market feeds and last prices; the other variants are not in the benchmark's messages.
int feed(Reader in, Build& out) {
  int variant = -1;
  while (in.more()) {
    switch (const std::uint8_t tag = *in.at++) {
      case 0x0A:
        variant = 0;
        ltpc(in.message(), out);
        break;
      case 0x12: {
        Reader full = in.message();
        while (full.more()) {
          if (const std::uint8_t inner = *full.at++; inner == 0x0A) {
            variant = 1;
            market(full.message(), out);
          } else {
            full.skip(inner);
          }
        }
        out.bad |= full.bad;
        break;
      }
      default:
        in.skip(tag);
    }
  }
  out.bad |= in.bad;
  return variant;
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

/// decode(frame, ts_recv) -> (records, levels): how many of each now lie in the arrays.
PyObject* decode(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2 || !PyBytes_Check(args[0])) {
    PyErr_SetString(PyExc_TypeError, "decode(bytes, int)");
    return nullptr;
  }
  const auto* start = reinterpret_cast<const std::uint8_t*>(PyBytes_AS_STRING(args[0]));
  Reader in{start, start + PyBytes_GET_SIZE(args[0])};
  const std::int64_t ts_recv = PyLong_AsLongLong(args[1]);
  Record* record = g_records.data();
  Level* level = g_levels.data();
  std::int64_t stamped = kAbsentInt;
  bool bad = false;
  while (in.more()) {
    const std::uint8_t tag = *in.at++;
    if (tag == 0x18) {
      bad |= __builtin_mul_overflow(static_cast<std::int64_t>(in.varint()), 1'000'000, &stamped);
      continue;
    }
    if (tag != 0x12) {
      in.skip(tag);
      continue;
    }
    if (record == g_records.data() + g_records.size()) break;
    Reader entry = in.message();
    record->source = 0;
    copy_blank(*record, g_blank);
    record->source = static_cast<std::uint32_t>(entry.at - start);
    Build out{record, 0, level, g_asks, false};
    int variant = -1;
    while (entry.more()) {
      const std::uint8_t inner = *entry.at++;
      if (inner == 0x0A) {
        const Reader text = entry.message();
        const auto* found = g_keys.find(
            {reinterpret_cast<const char*>(text.at), static_cast<std::size_t>(text.end - text.at)});
        if (found != nullptr) {
          record->key = found->number;
          record->instrument = found->instrument;
        }
      } else if (inner == 0x12) {
        variant = feed(entry.message(), out);
      } else {
        entry.skip(inner);
      }
    }
    bad |= entry.bad || out.bad;
    if (variant < 0) continue;
    record->mode = variant == 0 ? Mode::ltp : Mode::full;
    record->level_begin = static_cast<std::uint32_t>(level - g_levels.data());
    if (record->flags != 0) {
      const auto asks = static_cast<std::size_t>(out.ask - g_asks);
      std::memcpy(out.bid, g_asks, asks * sizeof(Level));
      if (out.bid != level) {
        out.set(Slot::bid_price, level->price);
        out.set(Slot::bid_quantity, level->quantity);
      }
      if (asks != 0) {
        out.set(Slot::ask_price, g_asks[0].price);
        out.set(Slot::ask_quantity, g_asks[0].quantity);
      }
      record->level_count = static_cast<std::uint32_t>(out.bid - level + asks);
      level = out.bid + asks;
    }
    record->ts_recv = ts_recv;
    record->present = out.present;
    ++record;
  }
  if (bad || in.bad) return Py_BuildValue("ii", 0, 0);
  for (Record* each = g_records.data(); each != record; ++each) {
    if (stamped != kAbsentInt) {
      each->ts_event = stamped;
      each->present |= dragoman::kHasTsEvent;
    }
    each->changed = each->present;
  }
  if (record != g_records.data()) record[-1].flags |= dragoman::kFlagLast;
  return Py_BuildValue("nn", static_cast<Py_ssize_t>(record - g_records.data()),
                       static_cast<Py_ssize_t>(level - g_levels.data()));
}

PyObject* bind(PyObject*, PyObject* args) {
  const char* text = nullptr;
  Py_ssize_t size = 0;
  int instrument = 0;
  if (!PyArg_ParseTuple(args, "y#i", &text, &size, &instrument)) return nullptr;
  g_keys.bind({text, static_cast<std::size_t>(size)}, instrument);
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
  std::memset(&g_blank, 0, sizeof g_blank);
  g_blank.ts_event = g_blank.last_trade_time = g_blank.sequence = g_blank.prev_sequence = kAbsentInt;
  g_blank.instrument = -1;
  for (double& value : g_blank.values) value = std::nan("");
  return PyModule_Create(&module);
}

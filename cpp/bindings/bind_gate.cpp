#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "py_number.hpp"
#include "py_values.hpp"

namespace py = pybind11;

/// The checks that nearly all orders pass, in one call. The gate says yes only where it is certain that the
/// checks in Python find nothing to refuse; its no decides nothing: whoever asked makes those checks, which
/// name what is wrong.
namespace {

/// Fields of the request, of the instrument, and the sets that values must be in, in the order of the
/// constructor's names.
enum Of : std::size_t {
  kOrderType,
  kProduct,
  kTimeInForce,
  kVariety,
  kQuantity,
  kPrice,
  kTrigger,
  kOrderFields,
};
enum By : std::size_t {
  kExchange,
  kTradable,
  kTick,
  kLot,
  kFreeze,
  kLow,
  kHigh,
  kInstrumentFields,
};
enum In : std::size_t { kTypes, kProducts, kTimes, kVarieties, kSegments, kPriced, kTriggered, kSets };

constexpr std::array<const char*, kOrderFields> kOrderNames = {
    "order_type", "product", "time_in_force", "variety", "quantity", "price", "trigger_price"};
constexpr std::array<const char*, kInstrumentFields> kInstrumentNames = {
    "exchange", "tradable", "tick_size", "lot_size", "freeze_quantity", "price_band_low", "price_band_high"};

/// What the sets are asked about, and for how many of them a yes is kept.
constexpr std::size_t kAsked = 5;
constexpr std::size_t kKept = 16;

/// Values that were in their sets, held, and whether their order has a price and a trigger.
struct Admitted {
  std::array<PyObject*, kAsked> values;
  bool priced;
  bool triggered;
};

constexpr long kMostDigits = 15;  // as dragoman.checks.grid has it
constexpr std::int64_t kBeyond = 10'000'000'000'000'000;
constexpr std::int64_t kMostScaled = std::numeric_limits<std::int64_t>::max() / 10;

struct Gate {
  PyObject_HEAD PyObject* plain;    // an order that says nothing further
  PyTypeObject* instrument;         // borrowed: its layout is kept
  std::array<PyObject*, kSets> in;  // held
  std::array<Py_ssize_t, kOrderFields> of;
  std::array<Py_ssize_t, kInstrumentFields> by;
  std::vector<Py_ssize_t> further;
  std::array<Admitted, kKept> admitted;
  PyObject* zero;
  PyObject* is_finite;
  PyObject* adjusted;
};

Gate& gate_of(PyObject* self) {
  return *reinterpret_cast<Gate*>(self);
}

/// 1 yes, 0 no, -1 an exception: everything below speaks so.
int truth(PyObject* found) {
  if (found == nullptr) {
    return -1;
  }
  const int is = PyObject_IsTrue(found);
  Py_DECREF(found);
  return is;
}

int is_sane(const Gate& gate, PyObject* number) {
  const int finite = truth(PyObject_CallMethodNoArgs(number, gate.is_finite));
  if (finite <= 0) {
    return finite;
  }
  PyObject* exponent = PyObject_CallMethodNoArgs(number, gate.adjusted);
  if (exponent == nullptr) {
    return -1;
  }
  const long digits = PyLong_AsLong(exponent);
  Py_DECREF(exponent);
  return digits == -1 && PyErr_Occurred() != nullptr ? -1 : digits <= kMostDigits;
}

int is_multiple(PyObject* number, PyObject* step) {
  const int has_step = PyObject_IsTrue(step);
  if (has_step <= 0) {
    return has_step < 0 ? -1 : 1;
  }
  const int rest = truth(PyNumber_Remainder(number, step));
  return rest < 0 ? -1 : !rest;
}

int within(PyObject* number, PyObject* bound, int how) {
  return bound == Py_None ? 1 : PyObject_RichCompareBool(number, bound, how);
}

/// The coefficient at another exponent, not above its own; false where it does not fit.
bool scaled(const PlainNumber& number, int exponent, std::int64_t& coefficient) {
  coefficient = number.coefficient;
  for (int left = number.exponent - exponent; left > 0; --left) {
    if (coefficient > kMostScaled || coefficient < -kMostScaled) {
      return false;
    }
    coefficient *= 10;
  }
  return true;
}

/// Numbers as they are counted at one exponent; false where one is not plain.
class Grid {
 public:
  Grid(PyTypeObject* decimal, PyObject* number, PyObject* step, PyObject* low, PyObject* high) {
    const std::array<PyObject*, 4> objects = {number, step, low, high};
    std::array<PlainNumber, 4> read;
    int exponent = 0;
    for (std::size_t i = 0; i < objects.size(); ++i) {
      if (objects[i] == Py_None) continue;
      if (!plain_number(decimal, objects[i], read[i])) return;
      exponent = std::min(exponent, read[i].exponent);
    }
    for (std::size_t i = 0; i < objects.size(); ++i) {
      if (!scaled(read[i], exponent, at_[i])) return;
    }
    has_low_ = low != Py_None;
    has_high_ = high != Py_None;
    // As its first digit has it: from two digits after the point on, 18 digits are never more.
    is_sane_ =
        read[0].exponent < -1 || read[0].coefficient < (read[0].exponent == 0 ? kBeyond : kBeyond * 10);
    is_plain_ = true;
  }

  [[nodiscard]] bool is_plain() const { return is_plain_; }
  [[nodiscard]] bool admits() const {
    const auto [number, step, low, high] = at_;
    return number > 0 && is_sane_ && (step == 0 || number % step == 0) && (!has_low_ || number >= low) &&
           (!has_high_ || number <= high);
  }

 private:
  std::array<std::int64_t, 4> at_{};
  bool is_plain_ = false;
  bool is_sane_ = false;
  bool has_low_ = false;
  bool has_high_ = false;
};

/// A positive number on a grid and between two bounds, each of which may be None.
int fits(const Gate& gate, PyObject* number, PyObject* step, PyObject* low, PyObject* high) {
  if (const Grid grid(Py_TYPE(gate.zero), number, step, low, high); grid.is_plain()) {
    return grid.admits() ? 1 : 0;
  }
  int is = is_sane(gate, number);
  if (is > 0) is = PyObject_RichCompareBool(number, gate.zero, Py_GT);
  if (is > 0) is = is_multiple(number, step);
  if (is > 0) is = within(number, low, Py_GE);
  if (is > 0) is = within(number, high, Py_LE);
  return is;
}

/// Whether the values are in their sets. Words are the same objects from order to order, and the sets never
/// change, so what was found once holds for those objects.
int in_sets(Gate& gate, const std::array<PyObject*, kAsked>& values, const Admitted*& found) {
  std::uintptr_t mixed = 0;
  for (PyObject* value : values) mixed = mixed * 31 + (reinterpret_cast<std::uintptr_t>(value) >> 4);
  Admitted& place = gate.admitted[(mixed ^ (mixed >> 4)) % kKept];
  found = &place;
  if (place.values == values) {
    return 1;
  }
  constexpr std::array<In, kAsked> sets = {kTypes, kProducts, kTimes, kVarieties, kSegments};
  for (std::size_t i = 0; i < kAsked; ++i) {
    if (const int is = PySet_Contains(gate.in[sets[i]], values[i]); is <= 0) {
      return is;
    }
  }
  const int priced = PySet_Contains(gate.in[kPriced], values[0]);
  const int triggered = PySet_Contains(gate.in[kTriggered], values[0]);
  if (priced < 0 || triggered < 0) {
    return -1;
  }
  Admitted gone{values, priced != 0, triggered != 0};
  for (PyObject* value : values) Py_INCREF(value);
  std::swap(place, gone);
  for (PyObject* value : gone.values) Py_XDECREF(value);
  return 1;
}

int admits_order(Gate& gate, PyObject* order, PyObject* instrument) {
  if (Py_TYPE(order) != Py_TYPE(gate.plain) || Py_TYPE(instrument) != gate.instrument) {
    return 0;
  }
  const auto of = [&](Of field) { return *slot_at(order, gate.of[field]); };
  const auto by = [&](By field) { return *slot_at(instrument, gate.by[field]); };
  for (const Py_ssize_t offset : gate.further) {
    if (*slot_at(order, offset) != *slot_at(gate.plain, offset)) {
      return 0;
    }
  }
  if (by(kTradable) != Py_True) {
    return 0;
  }
  const Admitted* admitted = nullptr;
  int is =
      in_sets(gate, {of(kOrderType), of(kProduct), of(kTimeInForce), of(kVariety), by(kExchange)}, admitted);
  if (is <= 0) {
    return is;
  }
  const auto [priced, triggered] = std::pair(admitted->priced, admitted->triggered);
  if ((of(kPrice) != Py_None) != priced || (of(kTrigger) != Py_None) != triggered) {
    return 0;
  }
  is = fits(gate, of(kQuantity), by(kLot), Py_None, by(kFreeze));
  if (is > 0 && priced) is = fits(gate, of(kPrice), by(kTick), by(kLow), by(kHigh));
  if (is > 0 && triggered) is = fits(gate, of(kTrigger), by(kTick), by(kLow), by(kHigh));
  return is;
}

PyObject* gate_admits(PyObject* self, PyObject* const* args, Py_ssize_t count) {
  if (count != 2) {
    PyErr_SetString(PyExc_TypeError, "admits takes an order request and its instrument");
    return nullptr;
  }
  const int is = admits_order(gate_of(self), args[0], args[1]);
  if (is < 0) {
    PyErr_Clear();  // the checks in Python will meet it again, and say where
  }
  return PyBool_FromLong(is > 0);
}

/// Take the constructor's arguments over; throws what pybind11 throws.
void fill(Gate& gate, py::object plain, py::type instrument, py::tuple further, py::tuple sets) {
  if (sets.size() != kSets) throw py::value_error("OrderGate takes seven sets");
  PyTypeObject* order_type = Py_TYPE(plain.ptr());
  auto* instrument_type = reinterpret_cast<PyTypeObject*>(instrument.ptr());
  const SlotLayout& order = known_layout(order_type);
  const SlotLayout& other = known_layout(instrument_type);
  const auto offset = [](PyTypeObject* type, const SlotLayout& layout, const py::str& name) {
    const Py_ssize_t found = offset_of(type, layout, name.ptr());
    if (found < 0) throw py::error_already_set();
    return found;
  };
  for (std::size_t i = 0; i < kOrderFields; ++i) gate.of[i] = offset(order_type, order, kOrderNames[i]);
  for (std::size_t i = 0; i < kInstrumentFields; ++i) {
    gate.by[i] = offset(instrument_type, other, kInstrumentNames[i]);
  }
  for (const py::handle name : further) gate.further.push_back(offset(order_type, order, py::str(name)));
  for (std::size_t i = 0; i < kSets; ++i) {
    gate.in[i] = py::frozenset(sets[i]).release().ptr();
  }
  gate.zero = py::module_::import("decimal").attr("Decimal")(0).release().ptr();
  gate.is_finite = py::str("is_finite").release().ptr();
  gate.adjusted = py::str("adjusted").release().ptr();
  gate.instrument = instrument_type;
  gate.plain = plain.release().ptr();
}

PyObject* gate_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  if ((kwargs != nullptr && PyDict_GET_SIZE(kwargs) != 0) || PyTuple_GET_SIZE(args) != 4) {
    PyErr_SetString(PyExc_TypeError,
                    "OrderGate takes a plain order, the class of instruments, names and sets");
    return nullptr;
  }
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) {
    return nullptr;
  }
  Gate& gate = gate_of(self);
  new (&gate.further) std::vector<Py_ssize_t>();
  try {
    fill(gate, py::reinterpret_borrow<py::object>(PyTuple_GET_ITEM(args, 0)),
         py::cast<py::type>(py::handle(PyTuple_GET_ITEM(args, 1))),
         py::cast<py::tuple>(py::handle(PyTuple_GET_ITEM(args, 2))),
         py::cast<py::tuple>(py::handle(PyTuple_GET_ITEM(args, 3))));
  } catch (py::error_already_set& error) {
    error.restore();
    Py_DECREF(self);
    return nullptr;
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_TypeError, error.what());
    Py_DECREF(self);
    return nullptr;
  }
  return self;
}

void gate_dealloc(PyObject* self) {
  Gate& gate = gate_of(self);
  Py_XDECREF(gate.plain);
  Py_XDECREF(gate.zero);
  Py_XDECREF(gate.is_finite);
  Py_XDECREF(gate.adjusted);
  for (PyObject* set : gate.in) Py_XDECREF(set);
  for (const Admitted& one : gate.admitted) {
    for (PyObject* value : one.values) Py_XDECREF(value);
  }
  gate.further.~vector();
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMethodDef kGateMethods[] = {
    {"admits", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(gate_admits)), METH_FASTCALL,
     nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot kGateSlots[] = {
    {Py_tp_new, reinterpret_cast<void*>(gate_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(gate_dealloc)},
    {Py_tp_methods, kGateMethods},
    {0, nullptr},
};

PyType_Spec kGateSpec = {"dragoman._core.OrderGate", sizeof(Gate), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, kGateSlots};

}  // namespace

void bind_gate(py::module_& m) {
  auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&kGateSpec));
  if (!type) throw py::error_already_set();
  m.attr("OrderGate") = type;
}

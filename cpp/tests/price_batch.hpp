#pragma once

#include <cstdint>
#include <vector>

#include "dragoman/batch.hpp"

/// A batch of records that have prices and nothing else, made by hand.
class PriceBatch {
 public:
  PriceBatch& last(std::int32_t instrument, double price, std::int64_t ts_event = dragoman::kAbsentInt,
                   std::int64_t ts_recv = 0) {
    return add(instrument, dragoman::Slot::last_price, price, ts_event, ts_recv);
  }

  PriceBatch& add(std::int32_t instrument, dragoman::Slot slot, double price, std::int64_t ts_event,
                  std::int64_t ts_recv) {
    dragoman::Record record{};
    record.instrument = instrument;
    record.ts_event = ts_event;
    record.ts_recv = ts_recv;
    record.present = record.changed = 1u << static_cast<unsigned>(slot);
    record.values[static_cast<std::size_t>(slot)] = price;
    records_.push_back(record);
    return *this;
  }

  dragoman::Record& back() { return records_.back(); }

  [[nodiscard]] dragoman::BatchView view() const {
    return {records_.data(), records_.size(), nullptr, 0, 0, 0};
  }

 private:
  std::vector<dragoman::Record> records_;
};

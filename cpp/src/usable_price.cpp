#include "dragoman/usable_price.hpp"

namespace dragoman {

namespace {

constexpr std::uint32_t bit(Slot slot) noexcept {
  return 1u << static_cast<unsigned>(slot);
}
constexpr std::size_t at(Slot slot) noexcept {
  return static_cast<std::size_t>(slot);
}

double single(const Record& record, Slot slot, PriceCounters& counters) noexcept {
  if ((record.present & record.changed & bit(slot)) == 0) [[unlikely]] {
    ++((record.present & bit(slot)) == 0 ? counters.ignored_absent : counters.ignored_repeated);
    return kNoPrice;
  }
  const double price = record.values[at(slot)];
  return check_price(price, counters) ? price : kNoPrice;
}

double middle(const Record& record, PriceCounters& counters) noexcept {
  constexpr std::uint32_t kBid = bit(Slot::bid_price);
  constexpr std::uint32_t kBoth = kBid | bit(Slot::ask_price);
  const std::uint32_t present = record.present & kBoth;
  if (present != kBoth) [[unlikely]] {
    ++(present == 0 ? counters.ignored_absent : counters.ignored_one_sided);
    return kNoPrice;
  }
  if ((record.changed & kBoth) == 0) [[unlikely]] {
    ++counters.ignored_repeated;
    return kNoPrice;
  }
  const double bid = record.values[at(Slot::bid_price)];
  const double ask = record.values[at(Slot::ask_price)];
  if (!check_price(bid, counters) || !check_price(ask, counters)) return kNoPrice;
  if (bid > ask) [[unlikely]] {
    ++counters.ignored_crossed;
    return kNoPrice;
  }
  return (bid + ask) / 2.0;
}

}  // namespace

double usable_price(const Record& record, PriceSource source, PriceCounters& counters) noexcept {
  switch (source) {
    case PriceSource::last:
      return single(record, Slot::last_price, counters);
    case PriceSource::mark:
      return single(record, Slot::mark_price, counters);
    case PriceSource::mid:
      return middle(record, counters);
  }
  return kNoPrice;
}

}  // namespace dragoman

#include "dragoman/rate_limit.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <type_traits>

#include "rate_budget.hpp"

namespace dragoman {

static_assert(std::is_trivially_copyable_v<MeterState>,
              "the state must survive being mapped by another process");

struct RateLimiter::Rules {
  BudgetRule total;
  BudgetRule normal;
  bool split;  // a reserve exists, so lane 0 has a budget of its own
  std::size_t ring;

  [[nodiscard]] Budget total_of(MeterState* states, std::int64_t* rings, std::size_t meter) const noexcept {
    return {total, states[meter].total, rings + ring};
  }
  [[nodiscard]] Budget normal_of(MeterState* states, std::int64_t* rings, std::size_t meter) const noexcept {
    return {normal, states[meter].normal, rings + ring + total.ring_size()};
  }
};

namespace {

[[noreturn]] void fail(const Meter& meter, const std::string& found, const std::string& expected) {
  throw std::invalid_argument("rate limit: meter '" + meter.name + "' has " + found + ", expected " +
                              expected);
}

std::string number(const char* what, std::int64_t value) {
  return std::string(what) + " " + std::to_string(value);
}

void check(const Meter& meter) {
  if (meter.name.empty()) throw std::invalid_argument("rate limit: a meter has no name, expected one");
  if (meter.period_ns < 1 || meter.period_ns > RateLimiter::kMaxPeriod) {
    fail(meter, number("period_ns", meter.period_ns), "1 to " + std::to_string(RateLimiter::kMaxPeriod));
  }
  const bool bucket = meter.window == Window::bucket;
  const std::int64_t most = bucket ? meter.period_ns : RateLimiter::kMaxRingCount;
  if (meter.count < 1 || meter.count > most) {
    fail(meter, number("count", meter.count),
         "1 to " + std::to_string(most) + (bucket ? " (one per ns)" : " (every grant's time is kept)"));
  }
  if (meter.reserve < 0 || meter.reserve >= meter.count) {
    fail(meter, number("reserve", meter.reserve),
         "0 to " + std::to_string(meter.count - 1) + " (less than its count)");
  }
}

BudgetRule rule_for(const Meter& meter, std::int64_t limit, std::int64_t offset_ns) {
  return {limit, meter.period_ns, (meter.period_ns + limit - 1) / limit, offset_ns, meter.window};
}

}  // namespace

RateLimiter::RateLimiter(std::vector<Meter> meters, std::int64_t calendar_offset_ns)
    : meters_(std::move(meters)) {
  if (calendar_offset_ns < -kMaxPeriod || calendar_offset_ns > kMaxPeriod) {
    throw std::invalid_argument("rate limit: calendar_offset_ns is " + std::to_string(calendar_offset_ns) +
                                ", expected at most " + std::to_string(kMaxPeriod) + " either way");
  }
  std::size_t slots = 0;
  for (const Meter& meter : meters_) {
    check(meter);
    const auto same = [&meter](const Meter& other) { return other.name == meter.name; };
    if (std::count_if(meters_.begin(), meters_.end(), same) > 1) {
      throw std::invalid_argument("rate limit: meter '" + meter.name +
                                  "' is given twice, expected distinct names");
    }
    Rules rules{rule_for(meter, meter.count, calendar_offset_ns),
                rule_for(meter, meter.count - meter.reserve, calendar_offset_ns), meter.reserve > 0, slots};
    slots += rules.total.ring_size() + (rules.split ? rules.normal.ring_size() : 0);
    rules_.push_back(rules);
  }

  static_assert(sizeof(Header) % alignof(MeterState) == 0 && sizeof(MeterState) % alignof(std::int64_t) == 0);
  const std::size_t states_at = sizeof(Header);
  const std::size_t rings_at = states_at + meters_.size() * sizeof(MeterState);
  block_ = std::make_unique<std::byte[]>(rings_at + slots * sizeof(std::int64_t));
  header_ = new (block_.get()) Header{0};
  states_ = reinterpret_cast<MeterState*>(block_.get() + states_at);
  rings_ = reinterpret_cast<std::int64_t*>(block_.get() + rings_at);
  std::uninitialized_fill_n(states_, meters_.size(), MeterState{0, unused_budget(), unused_budget()});
  std::uninitialized_fill_n(rings_, slots, std::int64_t{0});
}

RateLimiter::~RateLimiter() = default;

std::size_t RateLimiter::meter_index(std::string_view name) const {
  for (std::size_t i = 0; i < meters_.size(); ++i) {
    if (meters_[i].name == name) return i;
  }
  std::string known;
  for (const Meter& meter : meters_) known += (known.empty() ? "" : ", ") + meter.name;
  throw std::invalid_argument("rate limit: no meter '" + std::string(name) + "', expected one of: " + known);
}

std::size_t RateLimiter::plan(const std::vector<Cost>& costs) {
  std::vector<Share> shares;
  for (const auto& [name, cost] : costs) {
    const std::size_t meter = meter_index(name);
    const auto same = [meter](const Share& share) { return share.meter == meter; };
    const auto found = std::find_if(shares.begin(), shares.end(), same);
    const std::int64_t count = meters_[meter].count;
    const std::int64_t before = found == shares.end() ? 0 : found->cost;
    if (cost < 1 || cost > count - before) {
      fail(meters_[meter], number("a cost of", cost) + (before ? " after " + std::to_string(before) : ""),
           "1 to " + std::to_string(count) + " in all (its count)");
    }
    if (found == shares.end()) {
      shares.push_back({meter, cost});
    } else {
      found->cost += cost;
    }
  }
  const auto same = [&shares](const Plan& plan) { return plan.shares == shares; };
  const auto known = std::find_if(plans_.begin(), plans_.end(), same);
  const auto id = static_cast<std::size_t>(known - plans_.begin());
  if (known == plans_.end()) {
    const auto beyond = [this](const Share& share) { return share.cost > rules_[share.meter].normal.limit; };
    const bool beyond_lane_0 = std::any_of(shares.begin(), shares.end(), beyond);
    plans_.push_back({std::move(shares), beyond_lane_0});
  }
  return id;
}

std::string_view RateLimiter::beyond_lane_0(std::size_t plan) const noexcept {
  for (const Share& share : plans_[plan].shares) {
    if (share.cost > rules_[share.meter].normal.limit) return meters_[share.meter].name;
  }
  return {};
}

std::int64_t RateLimiter::wait(const Share& share, std::int64_t mono_ns, std::int64_t wall_ns,
                               Lane lane) const noexcept {
  const Rules& rules = rules_[share.meter];
  const std::int64_t penalty = states_[share.meter].penalised_until_ns - mono_ns;
  const std::int64_t total = rules.total_of(states_, rings_, share.meter).wait(mono_ns, wall_ns, share.cost);
  std::int64_t longest = std::max(std::max<std::int64_t>(penalty, 0), total);
  if (lane == Lane::normal && rules.split) {
    longest =
        std::max(longest, rules.normal_of(states_, rings_, share.meter).wait(mono_ns, wall_ns, share.cost));
  }
  return longest;
}

std::int64_t RateLimiter::try_acquire(std::int64_t mono_ns, std::int64_t wall_ns, std::size_t plan,
                                      Lane lane) noexcept {
  const auto& [shares, beyond_lane_0] = plans_[plan];
  if (lane == Lane::normal && beyond_lane_0) return kNever;
  const std::int64_t now = std::max(mono_ns, header_->last_mono_ns);

  // After a step of the wall clock a calendar meter may admit for a while and then not, so the longest wait
  // of all meters is asked again at its end. Each can turn that way only twice, so this ends soon; without
  // a step it ends at the second round.
  std::int64_t delay = 0;
  for (std::int64_t longest = 1; longest != 0; delay += longest) {
    longest = 0;
    for (const Share& share : shares)
      longest = std::max(longest, wait(share, now + delay, wall_ns + delay, lane));
  }
  if (delay != 0) return delay + (now - mono_ns);

  for (const Share& share : shares) {
    const Rules& rules = rules_[share.meter];
    rules.total_of(states_, rings_, share.meter).take(now, wall_ns, share.cost);
    if (lane == Lane::normal && rules.split) {
      rules.normal_of(states_, rings_, share.meter).take(now, wall_ns, share.cost);
    }
  }
  header_->last_mono_ns = now;
  return 0;
}

void RateLimiter::refund(std::size_t plan, std::int64_t granted_mono_ns, Lane lane) noexcept {
  const std::int64_t now = header_->last_mono_ns;
  if (granted_mono_ns > now) return;  // nothing was granted then
  for (const Share& share : plans_[plan].shares) {
    const Rules& rules = rules_[share.meter];
    rules.total_of(states_, rings_, share.meter).refund(granted_mono_ns, now, share.cost);
    if (lane == Lane::normal && rules.split) {
      rules.normal_of(states_, rings_, share.meter).refund(granted_mono_ns, now, share.cost);
    }
  }
}

void RateLimiter::penalise(std::string_view meter, std::int64_t until_mono_ns) {
  std::int64_t& until = states_[meter_index(meter)].penalised_until_ns;
  until = std::max(until, until_mono_ns);
}

MeterUse RateLimiter::use(std::size_t meter, std::int64_t mono_ns, std::int64_t wall_ns) const noexcept {
  const Rules& rules = rules_[meter];
  const std::int64_t now = std::max(mono_ns, header_->last_mono_ns);
  const Budget total = rules.total_of(states_, rings_, meter);
  MeterUse use{};
  use.count = rules.total.limit;
  use.used = total.used(now, wall_ns);
  use.penalty_ns = std::max<std::int64_t>(states_[meter].penalised_until_ns - now, 0);
  use.reset_ns = std::max(total.wait(now, wall_ns, rules.total.limit), use.penalty_ns);
  if (use.penalty_ns == 0) {
    const std::int64_t room = use.count - use.used;
    use.left = room;
    if (rules.split) {
      const std::int64_t normal = rules.normal_of(states_, rings_, meter).used(now, wall_ns);
      use.left = std::min(room, rules.normal.limit - normal);
    }
    use.reserve_left = room - use.left;
  }
  return use;
}

}  // namespace dragoman

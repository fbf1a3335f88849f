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

  [[nodiscard]] Budget total_of(const RateLimiter& of, std::size_t meter) const noexcept {
    return {total, of.states_[meter].total, of.rings_ + ring, of.undo_};
  }
  [[nodiscard]] Budget normal_of(const RateLimiter& of, std::size_t meter) const noexcept {
    return {normal, of.states_[meter].normal, of.rings_ + ring + total.ring_size(), of.undo_};
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
  return {limit, meter.period_ns, (meter.period_ns + limit - 1) / limit, offset_ns, meter.window, {}};
}

}  // namespace

RateLimiter::RateLimiter(std::vector<Meter> meters, std::int64_t calendar_offset_ns)
    : RateLimiter(std::move(meters), calendar_offset_ns, nullptr, nullptr) {}

RateLimiter::RateLimiter(std::vector<Meter> meters, std::int64_t calendar_offset_ns, std::int64_t* state,
                         Undo* undo)
    : meters_(std::move(meters)), undo_(undo) {
  if (calendar_offset_ns < -kMaxPeriod || calendar_offset_ns > kMaxPeriod) {
    throw std::invalid_argument("rate limit: calendar_offset_ns is " + std::to_string(calendar_offset_ns) +
                                ", expected at most " + std::to_string(kMaxPeriod) + " either way");
  }
  const std::size_t words = state_words(meters_);
  std::size_t slots = 0;
  for (const Meter& meter : meters_) {
    Rules rules{rule_for(meter, meter.count, calendar_offset_ns),
                rule_for(meter, meter.count - meter.reserve, calendar_offset_ns), meter.reserve > 0, slots};
    slots += rules.total.ring_size() + (rules.split ? rules.normal.ring_size() : 0);
    rules_.push_back(rules);
  }

  static_assert(alignof(Header) == alignof(std::int64_t) && alignof(MeterState) == alignof(std::int64_t));
  if (state == nullptr) own_ = std::make_unique<std::int64_t[]>(words);
  header_ = reinterpret_cast<Header*>(state == nullptr ? own_.get() : state);
  states_ = reinterpret_cast<MeterState*>(header_ + 1);
  rings_ = reinterpret_cast<std::int64_t*>(states_ + meters_.size());
  if (state == nullptr) reset();
}

std::size_t RateLimiter::state_words(const std::vector<Meter>& meters) {
  std::size_t bytes = sizeof(Header);
  for (const Meter& meter : meters) {
    check(meter);
    const auto same = [&meter](const Meter& other) { return other.name == meter.name; };
    if (std::count_if(meters.begin(), meters.end(), same) > 1) {
      throw std::invalid_argument("rate limit: meter '" + meter.name +
                                  "' is given twice, expected distinct names");
    }
    const std::int64_t slots = meter.count + (meter.reserve > 0 ? meter.count - meter.reserve : 0);
    bytes += sizeof(MeterState);
    if (meter.window != Window::bucket) bytes += static_cast<std::size_t>(slots) * sizeof(std::int64_t);
  }
  return bytes / sizeof(std::int64_t);
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
    std::uint64_t mask = 0;
    for (const Share& share : shares) mask |= std::uint64_t{1} << (share.meter % 64);
    plans_.push_back({std::move(shares), mask, beyond_lane_0});
  }
  return id;
}

std::string_view RateLimiter::beyond_lane_0(std::size_t plan) const noexcept {
  for (const Share& share : plans_[plan].shares) {
    if (share.cost > rules_[share.meter].normal.limit) return meters_[share.meter].name;
  }
  return {};
}

std::int64_t RateLimiter::share_wait(const Share& share, std::int64_t mono_ns, std::int64_t wall_ns,
                                     Lane lane) const noexcept {
  const Rules& rules = rules_[share.meter];
  const std::int64_t penalty = states_[share.meter].penalised_until_ns - mono_ns;
  const std::int64_t total = rules.total_of(*this, share.meter).wait(mono_ns, wall_ns, share.cost);
  std::int64_t longest = std::max(std::max<std::int64_t>(penalty, 0), total);
  if (lane == Lane::normal && rules.split) {
    longest = std::max(longest, rules.normal_of(*this, share.meter).wait(mono_ns, wall_ns, share.cost));
  }
  return longest;
}

std::int64_t RateLimiter::wait(std::int64_t mono_ns, std::int64_t wall_ns, std::size_t plan,
                               Lane lane) const noexcept {
  const auto& [shares, mask, beyond_lane_0] = plans_[plan];
  if (lane == Lane::normal && beyond_lane_0) return kNever;
  const std::int64_t now = std::max(mono_ns, header_->last_mono_ns);

  // After a step of the wall clock a calendar meter may admit for a while and then not, so the longest wait
  // of all meters is asked again at its end. Each can turn that way only twice, so this ends soon; without
  // a step it ends at the second round.
  std::int64_t delay = 0;
  for (std::int64_t longest = 1; longest != 0; delay += longest) {
    longest = 0;
    for (const Share& share : shares)
      longest = std::max(longest, share_wait(share, now + delay, wall_ns + delay, lane));
  }
  return delay == 0 ? 0 : delay + (now - mono_ns);
}

std::int64_t RateLimiter::try_acquire(std::int64_t mono_ns, std::int64_t wall_ns, std::size_t plan,
                                      Lane lane) noexcept {
  if (const std::int64_t delay = wait(mono_ns, wall_ns, plan, lane); delay != 0) return delay;
  const std::int64_t now = std::max(mono_ns, header_->last_mono_ns);
  for (const Share& share : plans_[plan].shares) {
    const Rules& rules = rules_[share.meter];
    rules.total_of(*this, share.meter).take(now, wall_ns, share.cost);
    if (lane == Lane::normal && rules.split) {
      rules.normal_of(*this, share.meter).take(now, wall_ns, share.cost);
    }
  }
  put(undo_, header_->last_mono_ns, now);
  put(undo_, header_->last_wall_ns, wall_ns);
  return 0;
}

void RateLimiter::refund(std::size_t plan, std::int64_t granted_mono_ns, Lane lane) noexcept {
  const std::int64_t now = header_->last_mono_ns;
  if (granted_mono_ns > now) return;  // nothing was granted then
  for (const Share& share : plans_[plan].shares) {
    const Rules& rules = rules_[share.meter];
    rules.total_of(*this, share.meter).refund(granted_mono_ns, now, share.cost);
    if (lane == Lane::normal && rules.split) {
      rules.normal_of(*this, share.meter).refund(granted_mono_ns, now, share.cost);
    }
  }
}

void RateLimiter::penalise(std::string_view meter, std::int64_t until_mono_ns) {
  std::int64_t& until = states_[meter_index(meter)].penalised_until_ns;
  put(undo_, until, std::max(until, until_mono_ns));
}

void RateLimiter::reset() noexcept {
  new (header_) Header{0, 0};
  std::uninitialized_fill_n(states_, meters_.size(), MeterState{0, unused_budget(), unused_budget()});
  for (const Rules& rules : rules_) {
    std::fill_n(rings_ + rules.ring, rules.total.ring_size() + (rules.split ? rules.normal.ring_size() : 0),
                0);
  }
}

bool RateLimiter::plausible() const noexcept {
  if (header_->last_mono_ns < 0 || header_->last_mono_ns > kMaxMono) return false;
  if (header_->last_wall_ns < -kMaxWall || header_->last_wall_ns > kMaxWall) return false;
  for (std::size_t meter = 0; meter < meters_.size(); ++meter) {
    const Rules& rules = rules_[meter];
    const std::int64_t penalty = states_[meter].penalised_until_ns;
    if (penalty < 0 || penalty > kMaxMono || !rules.total_of(*this, meter).plausible()) return false;
    if (rules.split && !rules.normal_of(*this, meter).plausible()) return false;
  }
  return true;
}

void RateLimiter::reboot(std::int64_t mono_ns, std::int64_t wall_ns) noexcept {
  // A wall clock that went back has nothing to say: no time passed, so every grant is as late as it can be.
  const std::int64_t before = std::max(header_->last_wall_ns, wall_ns - 2 * kMaxPeriod);
  const std::int64_t passed = std::max<std::int64_t>(wall_ns - before, 0);
  const std::int64_t shift = header_->last_mono_ns + passed - mono_ns;
  for (std::size_t meter = 0; meter < meters_.size(); ++meter) {
    const Rules& rules = rules_[meter];
    for (Budget budget : {rules.total_of(*this, meter), rules.normal_of(*this, meter)}) {
      if (meters_[meter].period_ns <= kShort) {
        budget.fill(0);
      } else {
        budget.rebase(shift, 0);
      }
      if (!rules.split) break;  // then there is only the first
    }
    std::int64_t& until = states_[meter].penalised_until_ns;
    until = std::clamp<std::int64_t>(until - shift, 0, kMaxMono);
  }
  *header_ = {0, wall_ns};
}

MeterUse RateLimiter::use(std::size_t meter, std::int64_t mono_ns, std::int64_t wall_ns) const noexcept {
  const Rules& rules = rules_[meter];
  const std::int64_t now = std::max(mono_ns, header_->last_mono_ns);
  const Budget total = rules.total_of(*this, meter);
  MeterUse use{};
  use.count = rules.total.limit;
  use.used = total.used(now, wall_ns);
  use.penalty_ns = std::max<std::int64_t>(states_[meter].penalised_until_ns - now, 0);
  use.reset_ns = std::max(total.wait(now, wall_ns, rules.total.limit), use.penalty_ns);
  if (use.penalty_ns == 0) {
    const std::int64_t room = use.count - use.used;
    use.left = room;
    if (rules.split) {
      const std::int64_t normal = rules.normal_of(*this, meter).used(now, wall_ns);
      use.left = std::min(room, rules.normal.limit - normal);
    }
    use.reserve_left = room - use.left;
  }
  return use;
}

}  // namespace dragoman

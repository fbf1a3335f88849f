#include "dragoman/rate_shared.hpp"

#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>
#include <type_traits>

#include "rate_file.hpp"
#include "rate_undo.hpp"

namespace dragoman {

namespace {

constexpr std::array<char, 8> kMagic{'D', 'R', 'G', 'M', 'R', 'A', 'T', 'E'};
constexpr int kOpenTries = 200;

static_assert(std::is_standard_layout_v<FileHeader>);
static_assert(sizeof(FileHeader) % 64 == 0, "the state's words follow aligned");
static_assert(LeaseTable::kPlaces == SharedRateLimiter::kMaxLeases);
static_assert(LeaseTable::kNone == SharedRateLimiter::kNoLease);

std::atomic<std::int64_t> g_forks{0};

/// Counts the forks that led to this process.
std::int64_t forks() {
  static const int installed = ::pthread_atfork(nullptr, nullptr, [] { ++g_forks; });
  if (installed != 0) throw std::bad_alloc();
  return g_forks.load(std::memory_order_relaxed);
}

std::string in_words(const std::vector<Meter>& meters) {
  static constexpr const char* kWindows[] = {"bucket", "rolling", "calendar"};
  std::string text;
  for (const Meter& meter : meters) {
    text += (text.empty() ? "" : "; ") + meter.name + " " + std::to_string(meter.count) + " per " +
            std::to_string(meter.period_ns) + " ns " + kWindows[static_cast<int>(meter.window)] + " less " +
            std::to_string(meter.reserve);
  }
  return text;
}

std::uint64_t fnv(const void* data, std::size_t bytes) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (std::size_t i = 0; i < bytes; ++i) {
    hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3;
  }
  return hash;
}

std::uint64_t check_of(const FileHeader& header) {
  FileHeader copy;
  std::memcpy(&copy, &header, offsetof(FileHeader, check));
  copy.magic = {};
  copy.carrying = 0;
  return fnv(&copy, offsetof(FileHeader, check));
}

template <std::size_t N>
void write_text(std::array<char, N>& into, const std::string& text) {
  into = {};
  std::copy(text.begin(), text.end(), into.begin());
}

template <std::size_t N>
std::string read_text(const std::array<char, N>& from) {
  return {from.begin(), std::find(from.begin(), from.end(), '\0')};
}

[[noreturn]] void refuse_file(const std::string& path, const std::string& found) {
  throw SharedStateError("rate limit: " + path + " " + found +
                         "; stop the processes that use it and remove it: what was counted for longer than a "
                         "minute then begins at zero");
}

/// Refuse a file of another version by what its first bytes say: its head may be shorter than ours.
void check_version(const std::string& path, const std::string& head) {
  std::uint32_t version = 0;
  if (head.size() < kMagic.size() + sizeof version ||
      !std::equal(kMagic.begin(), kMagic.end(), head.begin())) {
    return;
  }
  std::memcpy(&version, head.data() + kMagic.size(), sizeof version);
  if (version != SharedRateLimiter::kVersion) {
    refuse_file(path, "has version " + std::to_string(version) + ", expected " +
                          std::to_string(SharedRateLimiter::kVersion));
  }
}

bool unfinished(const std::string& magic) {
  return std::all_of(magic.begin(), magic.end(), [](char c) { return c == 0; });
}

}  // namespace

struct SharedRateLimiter::File {
  MappedFile file;
  FileHeader* header = nullptr;
  std::optional<Undo> undo;
  std::optional<RateLimiter> limiter;
  std::uint64_t owner = random_id();
  std::int64_t generation = forks();

  /// The lock for one change: taken over from a dead holder where there is one, its half change undone.
  class Change {
   public:
    explicit Change(File& of) noexcept : of_(of), status_(of.enter()) {}
    ~Change() {
      if (status_ != 0) return;
      of_.undo->commit();
      ::pthread_mutex_unlock(&of_.header->mutex);
    }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;
    [[nodiscard]] std::int64_t status() const noexcept { return status_; }

   private:
    File& of_;
    std::int64_t status_;
  };

  [[nodiscard]] std::int64_t enter() noexcept;
  [[nodiscard]] bool recover() noexcept;
  void create(const std::string& boot_id, const std::string& words, std::size_t state_words,
              std::size_t bytes);
  void check(const std::string& path, const std::string& words, std::size_t state_words,
             std::size_t bytes) const;
  void make_mutex();

  [[nodiscard]] bool ahead(const Ticket& ticket, std::int64_t now, std::uint64_t mask, std::int64_t lane,
                           std::int64_t arrival) noexcept;
  [[nodiscard]] bool anyone_ahead(std::int64_t now, std::uint64_t mask, std::int64_t lane,
                                  std::int64_t arrival) noexcept;
  void write_ticket(std::uint64_t mask, std::int64_t lane, std::int64_t arrival, std::int64_t now,
                    std::int64_t due) noexcept;
  void drop_ticket(std::uint64_t mask, std::int64_t lane) noexcept;
  void free_ticket(Ticket& ticket) noexcept {
    ticket.owner = 0;
    --header->ticket_count;
  }
};

std::int64_t SharedRateLimiter::File::enter() noexcept {
  if (generation != g_forks.load(std::memory_order_relaxed)) return kForked;
  int error = ::pthread_mutex_trylock(&header->mutex);
  if (error == EBUSY) {
    timespec until{};
    ::clock_gettime(CLOCK_REALTIME, &until);
    const std::int64_t end = until.tv_nsec + kLockWait;
    until.tv_sec += static_cast<time_t>(end / 1'000'000'000);
    until.tv_nsec = static_cast<long>(end % 1'000'000'000);
    error = ::pthread_mutex_timedlock(&header->mutex, &until);
  }
  if (error == 0) return 0;
  if (error == EOWNERDEAD) {
    if (recover()) return 0;
    // Unlocked without having been made consistent, the mutex refuses everybody from now on.
    ::pthread_mutex_unlock(&header->mutex);
  }
  return error == ETIMEDOUT ? kBusy : kBroken;
}

bool SharedRateLimiter::File::recover() noexcept {
  if (!undo->roll_back()) return false;
  header->ticket_count = std::count_if(header->tickets.begin(), header->tickets.end(),
                                       [](const Ticket& ticket) { return ticket.owner != 0; });
  ++header->recoveries;
  return ::pthread_mutex_consistent(&header->mutex) == 0;
}

void SharedRateLimiter::File::make_mutex() {
  pthread_mutexattr_t attributes;
  ::pthread_mutexattr_init(&attributes);
  int error = ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  if (error == 0) error = ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  header->mutex = {};
  if (error == 0) error = ::pthread_mutex_init(&header->mutex, &attributes);
  ::pthread_mutexattr_destroy(&attributes);
  if (error != 0) throw std::system_error(error, std::generic_category(), "rate limit: making the mutex");
}

void SharedRateLimiter::File::create(const std::string& boot_id, const std::string& words,
                                     std::size_t state_words, std::size_t bytes) {
  new (header) FileHeader{};
  header->version = kVersion;
  header->file_bytes = bytes;
  header->state_words = state_words;
  write_text(header->boot_id, boot_id);
  write_text(header->meters, words);
  header->check = check_of(*header);
  limiter->reset();
}

void SharedRateLimiter::File::check(const std::string& path, const std::string& words,
                                    std::size_t state_words, std::size_t bytes) const {
  const auto fail = [&](const std::string& found) { refuse_file(path, found); };
  if (header->magic != kMagic) fail("is no file of rate limits");
  if (header->check != check_of(*header)) fail("is damaged: its head does not match its check");
  if (const std::string found = read_text(header->meters); found != words) {
    fail("counts '" + found + "', expected '" + words + "'");
  }
  if (header->state_words != state_words || header->file_bytes != bytes || file.bytes() < bytes) {
    fail("has " + std::to_string(file.bytes()) + " bytes, expected " + std::to_string(bytes));
  }
  if (header->carrying != 0) fail("was left half-way by a process that died carrying it over a restart");
}

SharedRateLimiter::SharedRateLimiter(std::string path, std::vector<Meter> meters,
                                     std::int64_t calendar_offset_ns, std::int64_t mono_ns,
                                     std::int64_t wall_ns, std::string boot_id)
    : path_(std::move(path)), file_(std::make_unique<File>()) {
  if (boot_id.empty()) boot_id = kernel_boot_id();
  const std::string words = in_words(meters);
  const std::size_t state_words = RateLimiter::state_words(meters);
  if (boot_id.size() >= sizeof(FileHeader::boot_id) || words.size() >= sizeof(FileHeader::meters)) {
    throw std::invalid_argument("rate limit: the limits in words have " + std::to_string(words.size()) +
                                " bytes and the boot id " + std::to_string(boot_id.size()) +
                                ", expected less than 2048 and 48");
  }
  // One change touches each word of the state at most once.
  const std::size_t bytes =
      sizeof(FileHeader) + state_words * sizeof(std::int64_t) + state_words * sizeof(Undo::Entry);

  File& file = *file_;
  for (int tries = 0;; ++tries) {
    file.file.open(path_);
    if (file.file.alone() || !unfinished(file.file.head(kMagic.size()))) break;
    if (tries == kOpenTries) throw SharedStateError("rate limit: " + path_ + " stays unfinished; remove it");
    ::usleep(1000);  // whoever makes it is not done, or died; once all have let go, one is alone and makes it
  }
  const bool fresh = unfinished(file.file.head(kMagic.size()));
  if (fresh) {
    file.file.allocate(bytes);
  } else {
    check_version(path_, file.file.head(offsetof(FileHeader, version) + sizeof(FileHeader::version)));
  }
  if (!fresh && file.file.bytes() < sizeof(FileHeader)) {
    throw SharedStateError("rate limit: " + path_ + " is cut short to " + std::to_string(file.file.bytes()) +
                           " bytes; stop the processes that use it and remove it");
  }
  // Mapped by its own size until its head is known to ask for no more.
  file.file.map(std::max(sizeof(FileHeader), std::min(bytes, file.file.bytes())));
  file.header = reinterpret_cast<FileHeader*>(file.file.data());
  if (!fresh) file.check(path_, words, state_words, bytes);
  if (!file.file.alone() && read_text(file.header->boot_id) != boot_id) {
    throw SharedStateError("rate limit: " + path_ +
                           " is in use by processes that give another boot id, expected " + boot_id);
  }

  auto* state = reinterpret_cast<std::int64_t*>(file.file.data() + sizeof(FileHeader));
  auto* entries = reinterpret_cast<Undo::Entry*>(state + state_words);
  const auto count = static_cast<std::int64_t>(state_words);
  file.undo.emplace(state, count, &file.header->undo_count, entries, count);
  file.limiter.emplace(std::move(meters), calendar_offset_ns, state, &*file.undo);
  if (fresh) file.create(boot_id, words, state_words, bytes);
  if (file.file.alone()) {
    const bool whole = file.undo->roll_back() && file.limiter->plausible();
    if (!whole) {
      throw SharedStateError(
          "rate limit: " + path_ +
          " is damaged: its counts are none that can have come about; remove it, then what "
          "was counted for longer than a minute begins at zero");
    }
    file.header->tickets = {};
    file.header->ticket_count = 0;
    file.header->leases = {};  // whoever held one has let the file go, so it is dead or done
    file.make_mutex();
    if (read_text(file.header->boot_id) != boot_id) {
      file.header->carrying = 1;
      file.limiter->reboot(mono_ns, wall_ns);
      write_text(file.header->boot_id, boot_id);
      file.header->check = check_of(*file.header);
      std::atomic_signal_fence(std::memory_order_seq_cst);
      file.header->carrying = 0;
    }
    std::atomic_signal_fence(std::memory_order_seq_cst);
    file.header->magic = kMagic;
  }
  file.file.share();
}

SharedRateLimiter::~SharedRateLimiter() {
  // A forked child's copy must not touch tickets and leases: they are its parent's.
  File& file = *file_;
  File::Change change(file);
  if (change.status() != 0) return;
  for (Ticket& ticket : file.header->tickets) {
    if (ticket.owner == file.owner) file.free_ticket(ticket);
  }
  file.header->leases.free_all_of(file.owner);
}

std::size_t SharedRateLimiter::plan(const std::vector<RateLimiter::Cost>& costs) {
  return file_->limiter->plan(costs);
}

/// Whether a ticket stands before (lane, arrival). Frees it where its owner died.
bool SharedRateLimiter::File::ahead(const Ticket& ticket, std::int64_t now, std::uint64_t mask,
                                    std::int64_t lane, std::int64_t arrival) noexcept {
  if (ticket.owner == 0 || (ticket.mask & mask) == 0 || ticket.lane < lane) return false;
  if (ticket.owner == owner && ticket.mask == mask && ticket.lane == lane) return false;
  if (ticket.lane == lane && ticket.arrival_ns >= arrival) return false;
  return now <= ticket.due_ns + kGrace;
}

bool SharedRateLimiter::File::anyone_ahead(std::int64_t now, std::uint64_t mask, std::int64_t lane,
                                           std::int64_t arrival) noexcept {
  if (header->ticket_count == 0) return false;
  bool found = false;
  for (Ticket& ticket : header->tickets) {
    if (!ahead(ticket, now, mask, lane, arrival)) continue;
    if (now > ticket.due_ns && ::kill(static_cast<pid_t>(ticket.pid), 0) != 0 && errno == ESRCH) {
      free_ticket(ticket);
    } else {
      found = true;
    }
  }
  return found;
}

void SharedRateLimiter::File::write_ticket(std::uint64_t mask, std::int64_t lane, std::int64_t arrival,
                                           std::int64_t now, std::int64_t due) noexcept {
  Ticket* place = nullptr;
  for (Ticket& ticket : header->tickets) {
    if (ticket.owner == owner && ticket.mask == mask && ticket.lane == lane) {
      place = &ticket;
      break;
    }
    const bool lapsed = ticket.owner != 0 && now > ticket.due_ns + kGrace;
    if (place == nullptr && (ticket.owner == 0 || lapsed)) place = &ticket;
  }
  if (place == nullptr) return;  // 64 lines wait already; this one goes by the counts alone
  if (place->owner == 0) ++header->ticket_count;
  *place = {owner, mask, lane, arrival, due, ::getpid()};
}

void SharedRateLimiter::File::drop_ticket(std::uint64_t mask, std::int64_t lane) noexcept {
  if (header->ticket_count == 0) return;
  for (Ticket& ticket : header->tickets) {
    if (ticket.owner == owner && ticket.mask == mask && ticket.lane == lane) free_ticket(ticket);
  }
}

std::int64_t SharedRateLimiter::try_acquire(std::int64_t mono_ns, std::int64_t wall_ns, std::size_t plan,
                                            Lane lane, std::int64_t arrival_ns) noexcept {
  File& file = *file_;
  File::Change change(file);
  if (change.status() != 0) return change.status();
  RateLimiter& limiter = *file.limiter;
  const std::uint64_t mask = limiter.meter_mask(plan);
  const auto rank = static_cast<std::int64_t>(lane);
  const std::int64_t arrival = arrival_ns == kNoTicket ? mono_ns : arrival_ns;
  std::int64_t wait = 0;
  if (file.anyone_ahead(mono_ns, mask, rank, arrival)) {
    wait = limiter.wait(mono_ns, wall_ns, plan, lane);
    if (wait >= 0) wait = std::max(wait, kPoll);
  } else {
    wait = limiter.try_acquire(mono_ns, wall_ns, plan, lane);
  }
  if (wait > 0 && arrival_ns != kNoTicket) {
    file.write_ticket(mask, rank, arrival, mono_ns, mono_ns + std::min(wait, kLease));
  } else if (wait <= 0) {
    file.drop_ticket(mask, rank);
  }
  return wait;
}

std::int64_t SharedRateLimiter::leave(std::size_t plan, Lane lane) noexcept {
  File::Change change(*file_);
  if (change.status() == 0) {
    file_->drop_ticket(file_->limiter->meter_mask(plan), static_cast<std::int64_t>(lane));
  }
  return change.status();
}

std::int64_t SharedRateLimiter::refund(std::size_t plan, std::int64_t granted_mono_ns, Lane lane) noexcept {
  File::Change change(*file_);
  if (change.status() == 0) file_->limiter->refund(plan, granted_mono_ns, lane);
  return change.status();
}

std::int64_t SharedRateLimiter::penalise(std::string_view meter, std::int64_t until_mono_ns) {
  File::Change change(*file_);
  if (change.status() == 0) file_->limiter->penalise(meter, until_mono_ns);
  return change.status();
}

std::int64_t SharedRateLimiter::use(std::int64_t mono_ns, std::int64_t wall_ns,
                                    std::vector<MeterUse>& uses) noexcept {
  File::Change change(*file_);
  if (change.status() == 0) {
    for (std::size_t i = 0; i < uses.size(); ++i) uses[i] = file_->limiter->use(i, mono_ns, wall_ns);
  }
  return change.status();
}

std::int64_t SharedRateLimiter::lease(std::int64_t most) noexcept {
  File::Change change(*file_);
  return change.status() != 0 ? change.status() : file_->header->leases.take(file_->owner, most);
}

std::int64_t SharedRateLimiter::release(std::int64_t number) noexcept {
  File::Change change(*file_);
  if (change.status() == 0) file_->header->leases.free(file_->owner, number);
  return change.status();
}

std::int64_t SharedRateLimiter::lease_holders(std::vector<LeaseHolder>& holders) {
  File::Change change(*file_);
  if (change.status() != 0) return change.status();
  LeaseTable& leases = file_->header->leases;
  leases.free_dead();
  for (const Lease& lease : leases.places) {
    if (lease.owner == 0) continue;
    const auto known = std::find_if(holders.begin(), holders.end(),
                                    [&](const LeaseHolder& holder) { return holder.pid == lease.pid; });
    if (known != holders.end()) {
      ++known->held;
    } else {
      holders.push_back({lease.pid, 1});
    }
  }
  return 0;
}

const std::vector<Meter>& SharedRateLimiter::meters() const noexcept {
  return file_->limiter->meters();
}
std::size_t SharedRateLimiter::plan_count() const noexcept {
  return file_->limiter->plan_count();
}
std::string_view SharedRateLimiter::beyond_lane_0(std::size_t plan) const noexcept {
  return file_->limiter->beyond_lane_0(plan);
}
std::int64_t SharedRateLimiter::recoveries() const noexcept {
  return file_->header->recoveries;
}

}  // namespace dragoman

#include "dragoman/journal_queue.hpp"

#include <cstring>

namespace dragoman {

namespace {

/// The buffer is kept for the next records, unless a burst has made it larger than that.
constexpr std::size_t kKept = 64 * 1024;

std::byte* bytes_of(std::string& buffer, std::size_t at) noexcept {
  return reinterpret_cast<std::byte*>(buffer.data() + at);
}

template <class T>
T get(const char* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

std::size_t size_at(const std::string& buffer, std::size_t offset) noexcept {
  return journal_record_size(get<std::uint32_t>(buffer.data() + offset + 4));
}

}  // namespace

JournalQueue::JournalQueue(std::uint32_t epoch, std::string_view run, std::uint64_t sequence,
                           const Hash16& previous)
    : sequence_(sequence), durable_(sequence), hash_(previous), run_(run), epoch_(epoch) {}

void JournalQueue::append(std::string& buffer, std::uint16_t kind, std::uint64_t sequence,
                          std::int64_t time_ns, std::string_view payload) const {
  const std::size_t start = buffer.size();
  const std::size_t size = journal_record_size(payload.size());
  buffer.resize(start + size);
  JournalHead head;
  head.sequence = sequence;
  head.time_ns = time_ns;
  head.epoch = epoch_;
  head.kind = kind;
  head.run = run_;
  lay_out_journal_record({bytes_of(buffer, start), size}, head, payload);
}

void JournalQueue::put(std::uint16_t kind, std::int64_t time_ns, std::string_view payload) {
  append(buffer_, kind, sequence_ + 1, time_ns, payload);
  ++sequence_;
  ++count_;
}

std::size_t JournalQueue::fitting(std::size_t room) const noexcept {
  if (bytes_waiting() <= room) {
    return bytes_waiting();
  }
  std::size_t offset = on_way_bytes_;
  while (offset - on_way_bytes_ + size_at(buffer_, offset) <= room) {
    offset += size_at(buffer_, offset);
  }
  return offset - on_way_bytes_;
}

std::string_view JournalQueue::take(std::size_t bytes) noexcept {
  const std::size_t start = on_way_bytes_;
  while (on_way_bytes_ < start + bytes) {
    const std::size_t size = size_at(buffer_, on_way_bytes_);
    hash_ = seal_journal_record({bytes_of(buffer_, on_way_bytes_), size}, hash_);
    on_way_bytes_ += size;
    ++on_way_;
  }
  return std::string_view(buffer_).substr(start, bytes);
}

void JournalQueue::give_back(const Hash16& previous) noexcept {
  on_way_ = on_way_bytes_ = 0;
  hash_ = previous;
}

void JournalQueue::settle() noexcept {
  durable_ = sequence_ - waiting();
  count_ -= on_way_;
  drop(on_way_bytes_);
  on_way_ = on_way_bytes_ = 0;
}

void JournalQueue::clear() noexcept {
  drop(buffer_.size());
  count_ = on_way_ = on_way_bytes_ = 0;
}

void JournalQueue::drop(std::size_t bytes) noexcept {
  if (bytes < buffer_.size()) {
    buffer_.erase(0, bytes);
  } else if (buffer_.capacity() > kKept) {
    std::string().swap(buffer_);
  } else {
    buffer_.clear();
  }
}

void JournalQueue::replace(std::uint16_t kind,
                           std::span<const std::pair<std::uint64_t, std::string_view>> changes) {
  std::size_t offset = on_way_bytes_;
  const auto wanted = [&](std::uint64_t sequence) {
    while (!changes.empty() && changes.front().first < sequence) {
      changes = changes.subspan(1);
    }
    return !changes.empty() && changes.front().first == sequence;
  };
  while (offset < buffer_.size() && !wanted(at(offset).sequence)) {
    offset += size_at(buffer_, offset);
  }
  std::string rest;  // those before the first that changes stay as they are
  for (std::size_t from = offset; from < buffer_.size();) {
    const Entry entry = at(from);
    if (wanted(entry.sequence)) {
      append(rest, kind, entry.sequence, entry.time_ns, changes.front().second);
    } else {
      rest.append(buffer_, from, entry.size);
    }
    from += entry.size;
  }
  buffer_.reserve(offset + rest.size());
  buffer_.replace(offset, std::string::npos, rest);
}

JournalQueue::Entry JournalQueue::at(std::size_t offset) const noexcept {
  const char* const head = buffer_.data() + offset;
  const std::size_t length = get<std::uint32_t>(head + 4);
  return {get<std::uint64_t>(head + 8), get<std::int64_t>(head + 16), get<std::uint16_t>(head + 28),
          std::string_view(head + kJournalRecordHead, length), journal_record_size(length)};
}

}  // namespace dragoman

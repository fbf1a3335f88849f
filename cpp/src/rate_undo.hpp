#pragma once

#include <atomic>
#include <cstdint>

namespace dragoman {

/// What each word of a shared state was before the change under way, so that a change whose author died can
/// be taken back.
///
/// Theory. The old value is on record before the word changes, and the record is dropped in one store after
/// the last change: at every instruction between, `roll_back` restores exactly the state before. It only
/// reads the record until all is restored, so that dying in it, too, leaves work that can be done again. A
/// dead process's stores are all visible to whoever takes its lock, in the order it made them; therefore only
/// the compiler has to be kept from reordering.
class Undo {
 public:
  struct Entry {
    std::int64_t word;  ///< index into the state
    std::int64_t old;
  };

  /// @param count    of the entries in force; lies in the shared file
  /// @param entries  room for as many as one change can make
  Undo(std::int64_t* state, std::int64_t state_words, std::int64_t* count, Entry* entries,
       std::int64_t capacity) noexcept
      : state_(state), state_words_(state_words), count_(count), entries_(entries), capacity_(capacity) {}

  void note(const std::int64_t& word) noexcept {
    const std::int64_t n = *count_;
    entries_[n] = {&word - state_, word};
    std::atomic_signal_fence(std::memory_order_seq_cst);
    *count_ = n + 1;
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }

  void commit() noexcept {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    *count_ = 0;
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }

  /// @return false, changing nothing, where the record is not one that note() can have made
  [[nodiscard]] bool roll_back() noexcept {
    const std::int64_t n = *count_;
    if (n < 0 || n > capacity_) return false;
    for (std::int64_t i = 0; i < n; ++i) {
      if (entries_[i].word < 0 || entries_[i].word >= state_words_) return false;
    }
    for (std::int64_t i = n; i-- > 0;) state_[entries_[i].word] = entries_[i].old;
    commit();
    return true;
  }

 private:
  std::int64_t* state_;
  std::int64_t state_words_;
  std::int64_t* count_;
  Entry* entries_;
  std::int64_t capacity_;
};

/// Change a word, on record where there is one.
inline void put(Undo* undo, std::int64_t& word, std::int64_t value) noexcept {
  if (undo != nullptr) undo->note(word);
  word = value;
}

}  // namespace dragoman

#include "dragoman/instruments.hpp"

#include <deque>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_map>

namespace dragoman {
namespace {

struct Table {
  std::mutex mutex;
  std::deque<std::string> names;  // a deque never moves its elements, so views into it last
  std::unordered_map<std::string_view, std::int32_t> handles;
};

// Leaked on purpose: values made by other static objects may outlive any destructor order we could choose.
Table& table() {
  static auto* const instance = new Table;
  return *instance;
}

}  // namespace

std::int32_t intern_instrument(std::string_view id) {
  if (id.empty()) {
    throw std::invalid_argument("instrument id is empty, expected a canonical id such as VENUE:SYMBOL");
  }
  Table& t = table();
  const std::lock_guard lock(t.mutex);
  if (const auto found = t.handles.find(id); found != t.handles.end()) {
    return found->second;
  }
  if (t.names.size() >= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw std::length_error("no instrument handles are left in this process");
  }
  const auto handle = static_cast<std::int32_t>(t.names.size());
  const std::string& name = t.names.emplace_back(id);
  t.handles.emplace(name, handle);
  return handle;
}

std::string_view instrument_name(std::int64_t handle) noexcept {
  Table& t = table();
  const std::lock_guard lock(t.mutex);
  if (handle < 0 || static_cast<std::size_t>(handle) >= t.names.size()) {
    return {};
  }
  return t.names[static_cast<std::size_t>(handle)];
}

std::int32_t instrument_count() noexcept {
  Table& t = table();
  const std::lock_guard lock(t.mutex);
  return static_cast<std::int32_t>(t.names.size());
}

}  // namespace dragoman

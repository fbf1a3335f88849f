#include "json_build.hpp"

#include <algorithm>
#include <cstring>

#include "json_rows.hpp"

namespace dragoman::json {
namespace {

constexpr std::size_t kMostSteps = 16;
constexpr std::size_t kMostScopes = 64;
constexpr std::int64_t kMostPosition = 255;
constexpr std::size_t kMostKeys = 200;

bool is_star(const Step& step) {
  const auto* const key = std::get_if<std::string>(&step);
  return key != nullptr && *key == "*";
}

}  // namespace

Builder::Builder(Layout& layout) : layout_(layout) {
  Scope root;
  root.root = branch();
  layout_.scopes.push_back(root);
}

std::uint16_t Builder::branch() {
  branches_.emplace_back();
  return static_cast<std::uint16_t>(branches_.size() - 1);
}

/// Follow steps, making branches where there are none.
std::uint16_t Builder::walk(std::uint16_t from, const std::vector<Step>& steps, const packed::Place& place) {
  if (steps.size() > kMostSteps) {
    place.fail("a path of " + std::to_string(steps.size()) + " steps", "at most 16");
  }
  for (const Step& step : steps) {
    std::uint16_t next = kNone;
    if (const auto* const key = std::get_if<std::string>(&step)) {
      for (const auto& [known, below] : branches_[from].keys) {
        next = known == *key ? below : next;
      }
      if (next == kNone) {
        if (key->empty() || key->size() > 255 || is_star(step)) {
          place.fail("step '" + *key + "'", "a key of 1 to 255 bytes; \"*\" only inside `each`");
        }
        if (branches_[from].keys.size() >= kMostKeys) {
          place.fail("more than 200 keys of one object", "fewer");
        }
        next = branch();
        branches_[from].keys.emplace_back(*key, next);
      }
    } else {
      const std::int64_t position = std::get<std::int64_t>(step);
      for (const auto& [known, below] : branches_[from].items) {
        next = known == position ? below : next;
      }
      if (next == kNone) {
        if (position < -static_cast<std::int64_t>(kMaxTail) || position > kMostPosition) {
          place.fail("position " + std::to_string(position), "-8 to 255");
        }
        next = branch();
        branches_[from].items.emplace_back(position, next);
      }
    }
    if (branches_.size() > kMaxSlots) {
      place.fail("more than 1024 paths", "fewer in one stream");
    }
    from = next;
  }
  return from;
}

std::uint16_t Builder::scope_below(std::uint16_t parent, std::uint16_t container,
                                   const packed::Place& place) {
  for (std::size_t i = 1; i < layout_.scopes.size(); ++i) {
    if (layout_.scopes[i].parent == parent && layout_.scopes[i].container == container) {
      return static_cast<std::uint16_t>(i);
    }
  }
  if (layout_.scopes.size() >= kMostScopes) {
    place.fail("more than 64 paths of each", "fewer");
  }
  Scope scope;
  scope.parent = parent;
  scope.container = container;
  scope.root = branch();
  scope.depth = static_cast<std::uint8_t>(layout_.scopes[parent].depth + 1);
  layout_.scopes.push_back(scope);
  return static_cast<std::uint16_t>(layout_.scopes.size() - 1);
}

Home Builder::home(const LayoutSpec& spec, const packed::Place& place) {
  Home home;
  home.chain.push_back(0);
  if (spec.at) {
    home.at = spec.at->steps;
  }
  if (!spec.each) {
    return home;
  }
  std::vector<Step> steps = home.at;
  steps.insert(steps.end(), spec.each->steps.begin(), spec.each->steps.end());
  home.at.clear();
  std::vector<Step> part;
  for (std::size_t i = 0; i <= steps.size(); ++i) {
    if (i < steps.size() && !is_star(steps[i])) {
      part.push_back(steps[i]);
      continue;
    }
    const std::uint16_t parent = home.chain.back();
    const std::uint16_t container = walk(layout_.scopes[parent].root, part, place.in("each"));
    home.chain.push_back(scope_below(parent, container, place));
    part.clear();
  }
  return home;
}

Spot Builder::spot(const Home& home, const PathSpec& path, const packed::Place& place) {
  const auto last = static_cast<std::int64_t>(home.chain.size()) - 1;
  if (path.up > last || path.up < -1) {
    place.fail("a path that leads " + std::to_string(path.up) + " scopes out",
               "at most " + std::to_string(last));
  }
  const std::uint16_t scope =
      path.up < 0 ? home.chain[0] : home.chain[static_cast<std::size_t>(last - path.up)];
  std::vector<Step> steps;
  if (path.up == 0) {
    steps = home.at;
  }
  if (path.steps.size() == 1 && std::holds_alternative<std::string>(path.steps[0])) {
    const std::string& only = std::get<std::string>(path.steps[0]);
    if (only == "@key") {
      if (scope == 0) {
        place.fail("@key of the message", "it inside `each`");
      }
      Scope& here = layout_.scopes[scope];
      if (here.key == kNone) {
        here.key = branch();
      }
      return {scope, here.key};
    }
    if (only == "@value") {
      return {scope, layout_.scopes[scope].root};
    }
  }
  steps.insert(steps.end(), path.steps.begin(), path.steps.end());
  return {scope, walk(layout_.scopes[scope].root, steps, place)};
}

std::uint16_t Builder::shape(Shape shape, const std::vector<std::pair<std::string, std::uint16_t>>& keys) {
  for (std::size_t i = 0; i < layout_.shapes.size(); ++i) {
    const auto known =
        std::find_if(row_keys_.begin(), row_keys_.end(), [&](const RowKeys& one) { return one.shape == i; });
    if (layout_.shapes[i] == shape && (known == row_keys_.end() ? keys.empty() : known->keys == keys)) {
      return static_cast<std::uint16_t>(i);
    }
  }
  layout_.shapes.push_back(std::move(shape));
  const auto index = static_cast<std::uint16_t>(layout_.shapes.size() - 1);
  if (!keys.empty()) {
    row_keys_.push_back({index, keys});
  }
  return index;
}

void Builder::note_rows(const Spot& spot, std::uint16_t shape) {
  branches_[spot.slot].shapes.push_back(shape);
}

/// Write a node's keys and the table that finds them.
void Builder::lay_keys(Node& node, const std::vector<std::pair<std::string, std::uint16_t>>& keys) {
  std::size_t size = 4;
  while (size < 2 * keys.size() + 1) {
    size *= 2;
  }
  node.keys = static_cast<std::uint16_t>(layout_.keys.size());
  node.key_count = static_cast<std::uint16_t>(keys.size());
  node.table = static_cast<std::uint16_t>(layout_.table.size());
  node.table_mask = static_cast<std::uint16_t>(size - 1);
  layout_.table.resize(layout_.table.size() + size, 0);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::string& text = keys[i].first;
    Key key{};
    key.size = static_cast<std::uint16_t>(text.size());
    key.node = keys[i].second;
    key.text = static_cast<std::uint32_t>(layout_.texts.size());
    const std::string quoted = text + '"';
    const std::size_t head = std::min<std::size_t>(8, quoted.size());
    std::memcpy(&key.word, quoted.data(), head);
    std::memset(&key.mask, 0xFF, head);
    std::memcpy(&key.bare, text.data(), std::min<std::size_t>(8, text.size()));
    layout_.texts += quoted;
    layout_.keys.push_back(key);
    std::size_t at = Layout::hash(key.bare, key.size) & node.table_mask;
    while (layout_.table[node.table + at] != 0) {
      at = (at + 1) & node.table_mask;
    }
    layout_.table[node.table + at] = static_cast<std::uint8_t>(i + 1);
  }
}

/// Lay out a branch and all below it: slots that follow one another, nodes with their keys and positions.
void Builder::lay_out(std::uint16_t index) {
  const auto at = static_cast<std::uint16_t>(layout_.nodes.size());
  layout_.nodes.emplace_back();
  branches_[index].node = at;
  branches_[index].slot = layout_.slots++;
  for (const auto& [key, below] : branches_[index].keys) {
    lay_out(below);
  }
  for (const auto& [position, below] : branches_[index].items) {
    lay_out(below);
  }
  const Branch& branch = branches_[index];
  Node node{};
  node.slot = branch.slot;
  node.end = layout_.slots;
  if (!branch.keys.empty()) {
    std::vector<std::pair<std::string, std::uint16_t>> keys;
    for (const auto& [key, below] : branch.keys) {
      keys.emplace_back(key, branches_[below].node);
    }
    lay_keys(node, keys);
  }
  node.items = static_cast<std::uint16_t>(layout_.items.size());
  node.tails = static_cast<std::uint16_t>(layout_.tails.size());
  for (const auto& [position, below] : branch.items) {
    const std::uint16_t target = branches_[below].node;
    auto& list = position >= 0 ? layout_.items : layout_.tails;
    const std::size_t first = position >= 0 ? node.items : node.tails;
    const auto offset = static_cast<std::size_t>(position >= 0 ? position : -1 - position);
    list.resize(std::max(list.size(), first + offset + 1), kNone);
    list[first + offset] = target;
  }
  node.item_count = static_cast<std::uint16_t>(layout_.items.size() - node.items);
  node.tail_count = static_cast<std::uint16_t>(layout_.tails.size() - node.tails);
  node.plain = branch.keys.empty() && branch.items.empty();
  layout_.nodes[at] = node;
}

void Builder::resolve(std::uint16_t& slot) const {
  if (slot != kNone) {
    slot = branches_[slot].slot;
  }
}

/// A layout as a candidate in a scope of its chain.
Candidate Builder::candidate(const MessageLayout& layout, std::uint16_t index, unsigned depth) {
  Candidate made{index};
  const auto counts = [&](const Condition& condition) { return condition.depth <= depth; };
  const auto first = std::find_if(layout.when.begin(), layout.when.end(), counts);
  if (first != layout.when.end() && first->plain) {
    const Value& value = first->values[0];
    made.slot = first->slots[0];
    made.size = static_cast<std::uint32_t>(value.text.size());
    made.word = value.word;
    made.mask = value.mask;
    made.alone =
        value.text.size() <= sizeof value.word && std::count_if(first, layout.when.end(), counts) == 1;
  }
  return made;
}

void Builder::finish(const packed::Place& stream) {
  for (Scope& scope : layout_.scopes) {
    scope.first = layout_.slots;
    if (scope.key != kNone) {
      branches_[scope.key].slot = layout_.slots++;
    }
    lay_out(scope.root);
    scope.end = layout_.slots;
  }
  if (layout_.slots > kMaxSlots) {
    stream.fail("more than 1024 paths", "fewer in one stream");
  }
  std::uint16_t eager = 0;
  for (const Branch& branch : branches_) {
    if (branch.shapes.empty() || !branch.keys.empty() || !branch.items.empty() || eager == kMaxEager) {
      continue;
    }
    if (std::adjacent_find(branch.shapes.begin(), branch.shapes.end(), std::not_equal_to<>()) ==
        branch.shapes.end()) {
      layout_.nodes[branch.node].shape = branch.shapes[0];
      layout_.nodes[branch.node].eager = eager++;
      layout_.nodes[branch.node].plain = false;
    }
  }
  layout_.row_nodes = layout_.nodes.size();
  for (const RowKeys& row : row_keys_) {
    Node node{};
    lay_keys(node, row.keys);
    layout_.shapes[row.shape].node = static_cast<std::uint16_t>(layout_.nodes.size());
    layout_.nodes.push_back(node);
  }
  layout_.texts.append(8, '\0');
  for (Scope& scope : layout_.scopes) {
    resolve(scope.container);
    resolve(scope.key);
    scope.root = branches_[scope.root].node;
  }
  for (std::size_t i = 0; i < layout_.layouts.size(); ++i) {
    MessageLayout& one = layout_.layouts[i];
    for (auto* const conditions : {&one.when, &one.snapshot_when}) {
      for (Condition& condition : *conditions) {
        std::for_each(condition.slots.begin(), condition.slots.end(), [&](auto& slot) { resolve(slot); });
      }
    }
    for (const std::uint16_t index : one.chain) {
      Scope& scope = layout_.scopes[index];
      scope.candidates.push_back(candidate(one, static_cast<std::uint16_t>(i), scope.depth));
    }
    for (Op& op : one.ops) {
      resolve(op.slot);
    }
    std::for_each(one.key_slots.begin(), one.key_slots.end(), [&](auto& slot) { resolve(slot); });
    for (Table& table : one.tables) {
      table.eager = layout_.nodes[branches_[table.slot].node].eager;
      resolve(table.slot);
    }
    for (Row& row : one.rows) {
      resolve(row.price);
      resolve(row.quantity);
      resolve(row.orders);
    }
    resolve(one.aggressor);
  }
}

}  // namespace dragoman::json

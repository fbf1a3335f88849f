#include "json_scan.hpp"

#include <cstring>

namespace dragoman::json {

const std::uint8_t* JsonScanner::literal(const std::uint8_t* at, const char* rest) noexcept {
  for (; *rest != '\0'; ++rest, ++at) {
    if (*at != static_cast<std::uint8_t>(*rest)) {
      return fail(at);
    }
  }
  return at;
}

/// Read a key that nobody asks for and its colon; returns the place of its
/// value.
const std::uint8_t* JsonScanner::skip_key(const std::uint8_t* at) noexcept {
  if (*at != '"') {
    return fail(at);
  }
  bool escaped = false;
  if (at = text_end(at + 1, escaped); at == nullptr) {
    return nullptr;
  }
  at = space(at + 1);
  return *at == ':' ? space(at + 1) : fail(at);
}

const std::uint8_t* JsonScanner::skip(const std::uint8_t* at, unsigned depth) {
  std::uint64_t kinds = 0;  // a bit for each open container: 1 for objects
  unsigned open = 0;
  bool escaped = false;
  for (;;) {
    switch (*at) {
      case '"':
        at = text_end(at + 1, escaped);
        at = at == nullptr ? nullptr : at + 1;
        break;
      case 't':
        at = literal(at, "true");
        break;
      case 'f':
        at = literal(at, "false");
        break;
      case 'n':
        at = literal(at, "null");
        break;
      case '{':
        if (depth + open++ >= kMaxDepth) {
          return fail(at);
        }
        kinds = kinds << 1 | 1;
        at = space(at + 1);
        if (*at != '}') {
          if (at = skip_key(at); at == nullptr) {
            return nullptr;
          }
          continue;
        }
        break;
      case '[':
        if (depth + open++ >= kMaxDepth) {
          return fail(at);
        }
        kinds <<= 1;
        at = space(at + 1);
        if (*at != ']') {
          continue;
        }
        break;
      default:
        at = number_end(at);
        break;
    }
    if (at == nullptr) {
      return nullptr;
    }
    for (;;) {
      if (open == 0) {
        return at;
      }
      at = space(at);
      if (*at == ',') {
        at = space(at + 1);
        if ((kinds & 1) != 0) {
          if (at = skip_key(at); at == nullptr) {
            return nullptr;
          }
        }
        break;
      }
      if (*at != ((kinds & 1) != 0 ? '}' : ']')) {
        return fail(at);
      }
      ++at;
      kinds >>= 1;
      --open;
    }
  }
}

const std::uint8_t* JsonScanner::array(const Node& node, const std::uint8_t* at, unsigned depth) {
  const std::uint8_t* last[kMaxTail] = {};
  std::size_t count = 0;
  const std::uint8_t* const end = elements(at, [&](const std::uint8_t* from, const Capture&, Type) {
    last[count % kMaxTail] = from;
    const std::size_t position = count++;
    const std::uint16_t wanted = position < node.item_count ? layout_.items[node.items + position] : kNone;
    return wanted != kNone ? value(wanted, from, depth + 1) : skip(from, depth + 1);
  });
  if (end == nullptr) {
    return nullptr;
  }
  for (std::size_t i = 0; i < node.tail_count && i < count; ++i) {
    const std::uint16_t wanted = layout_.tails[node.tails + i];
    if (wanted != kNone) {
      (void)value(wanted, last[(count - 1 - i) % kMaxTail], depth + 1);
    }
  }
  return end;
}

const std::uint8_t* JsonScanner::value(std::uint16_t index, const std::uint8_t* at, unsigned depth) {
  const Node& node = layout_.nodes[index];
  Type& type = found_.types[node.slot];
  Capture& capture = found_.captures[node.slot];
  if (node.plain) {
    return leaf(at, type, capture, depth);
  }
  if (type != Type::absent) [[unlikely]] {
    for (std::size_t slot = node.slot; slot != node.end; ++slot) {
      found_.types[slot] = Type::absent;  // an equal key before this one counts no more
    }
  }
  const bool object_here = *at == '{' && node.key_count != 0;
  const bool array_here = *at == '[' && (node.item_count != 0 || node.tail_count != 0);
  const bool rows_here = *at == '[' && node.shape != kNone;
  if (!object_here && !array_here && !rows_here) {
    return leaf(at, type, capture, depth);
  }
  if (depth >= kMaxDepth) {
    return fail(at);
  }
  const std::uint8_t* end;
  if (rows_here) {
    Found::Run& run = found_.runs[node.eager];
    const std::uint64_t rejected = levels_.rejected;
    run.begin = levels_.count();
    end = rows(layout_.shapes[node.shape], at, depth);
    run.count = levels_.count() - run.begin;
    run.rejected = levels_.rejected - rejected;
    levels_.rejected = rejected;  // of a table that another layout may want
  } else {
    end = object_here ? object(index, at, depth) : array(node, at, depth);
  }
  type = object_here ? Type::object : Type::array;
  capture = {at, end == nullptr ? 0 : static_cast<std::uint32_t>(end - at)};
  return end;
}

}  // namespace dragoman::json

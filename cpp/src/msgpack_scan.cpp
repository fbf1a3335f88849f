#include "msgpack_scan.hpp"

namespace dragoman::json {
namespace {

std::uint32_t big16(const std::uint8_t* at) noexcept {
  return static_cast<std::uint32_t>(at[0] << 8 | at[1]);
}

std::uint32_t big32(const std::uint8_t* at) noexcept {
  return big16(at) << 16 | big16(at + 2);
}

}  // namespace

const std::uint8_t* MsgpackScanner::read_head(const std::uint8_t* at, Head& head) noexcept {
  if (at >= end_) {
    return fail(end_);
  }
  const std::uint8_t first = *at;
  std::uint32_t bytes = 0;   // of the body that must be there
  std::uint32_t length = 1;  // of the head
  head = {Type::integer, 0, 0};
  if (first < 0x80 || first >= 0xE0) {
    return at + 1;
  }
  if (first < 0xC0) {
    const bool text = first >= 0xA0;
    head.type = text ? Type::text : first >= 0x90 ? Type::array : Type::object;
    head.count = first & (text ? 0x1Fu : 0x0Fu);
    bytes = text ? head.count : 0;
  } else {
    switch (first) {
      case 0xC0:
        head.type = Type::null;
        break;
      case 0xC2:
        head.type = Type::no;
        break;
      case 0xC3:
        head.type = Type::yes;
        break;
      case 0xC4:
      case 0xD9:
        head.type = Type::text;
        bytes = head.count = at[1];
        length = 2;
        break;
      case 0xC5:
      case 0xDA:
        head.type = Type::text;
        bytes = head.count = big16(at + 1);
        length = 3;
        break;
      case 0xC6:
      case 0xDB:
        head.type = Type::text;
        bytes = head.count = big32(at + 1);
        length = 5;
        break;
      case 0xC7:
      case 0xC8:
      case 0xC9: {
        const std::uint32_t width = 1u << (first - 0xC7);
        bytes = head.count = width == 1 ? at[1] : width == 2 ? big16(at + 1) : big32(at + 1);
        head.type =
            at[1 + width] == 0xFF && (bytes == 4 || bytes == 8 || bytes == 12) ? Type::moment : Type::other;
        length = 2 + width;
        break;
      }
      case 0xCA:
      case 0xCB:
        head.type = Type::floating;
        bytes = first == 0xCA ? 4 : 8;
        break;
      case 0xCC:
      case 0xCD:
      case 0xCE:
      case 0xCF:
        bytes = 1u << (first - 0xCC);
        break;
      case 0xD0:
      case 0xD1:
      case 0xD2:
      case 0xD3:
        bytes = 1u << (first - 0xD0);
        break;
      case 0xD4:
      case 0xD5:
      case 0xD6:
      case 0xD7:
      case 0xD8:
        bytes = head.count = 1u << (first - 0xD4);
        head.type = at[1] == 0xFF && (bytes == 4 || bytes == 8) ? Type::moment : Type::other;
        length = 2;
        break;
      case 0xDC:
      case 0xDE:
        head.type = first == 0xDC ? Type::array : Type::object;
        head.count = big16(at + 1);
        length = 3;
        break;
      case 0xDD:
      case 0xDF:
        head.type = first == 0xDD ? Type::array : Type::object;
        head.count = big32(at + 1);
        length = 5;
        break;
      default:
        return fail(at);
    }
  }
  if (static_cast<std::size_t>(end_ - at) < std::size_t{length} + bytes) {
    return fail(end_);
  }
  head.lead = length;
  return at + length;
}

const std::uint8_t* MsgpackScanner::leaf(const std::uint8_t* at, Type& type, Capture& capture,
                                         unsigned depth) {
  Head head;
  const std::uint8_t* const body = read_head(at, head);
  if (body == nullptr) {
    return nullptr;
  }
  type = head.type;
  switch (head.type) {
    case Type::text:
    case Type::moment:
    case Type::other:
      capture = {body, head.count};
      return body + head.count;
    case Type::object:
    case Type::array: {
      const std::uint8_t* const end = skip(at, depth);
      capture = {at, end == nullptr ? 0 : static_cast<std::uint32_t>(end - at)};
      return end;
    }
    default:
      break;
  }
  const std::uint8_t* const end = skip(at, depth);
  capture = {at, static_cast<std::uint32_t>(end - at)};
  return end;
}

const std::uint8_t* MsgpackScanner::skip(const std::uint8_t* at, unsigned depth) {
  std::uint64_t left[kMaxDepth];  // values still to come in each open container
  unsigned open = 0;
  for (;;) {
    Head head;
    const std::uint8_t* const first = at;
    if (at = read_head(at, head); at == nullptr) {
      return nullptr;
    }
    switch (head.type) {
      case Type::object:
      case Type::array:
        if (depth + open >= kMaxDepth) {
          return fail(first);
        }
        left[open++] = head.type == Type::object ? 2 * std::uint64_t{head.count} : head.count;
        break;
      case Type::text:
      case Type::moment:
      case Type::other:
        at += head.count;
        break;
      case Type::floating:
        at += *first == 0xCA ? 4 : 8;
        break;
      case Type::integer:
        at += *first >= 0xCC && *first <= 0xD3 ? 1u << (*first & 3) : 0;
        break;
      default:
        break;
    }
    while (open != 0 && left[open - 1] == 0) {
      --open;
    }
    if (open == 0) {
      return at;
    }
    --left[open - 1];
  }
}

const std::uint8_t* MsgpackScanner::member(const Node& node, const std::uint8_t* at, std::uint16_t& key) {
  Type type;
  Capture text;
  if (at = leaf(at, type, text, 0); at == nullptr) {
    return nullptr;
  }
  key =
      type == Type::text ? find_key(layout_, node, bare_word(text.at, text.size), text.at, text.size) : kNone;
  return at;
}

const std::uint8_t* MsgpackScanner::object(std::uint16_t index, const std::uint8_t* at, unsigned depth) {
  const Node& node = layout_.nodes[index];
  Head head;
  if (at = read_head(at, head); at == nullptr) {
    return nullptr;
  }
  for (std::uint32_t i = 0; i < head.count; ++i) {
    std::uint16_t key;
    if (at = member(node, at, key); at == nullptr) {
      return nullptr;
    }
    at = key != kNone ? value(layout_.keys[key].node, at, depth + 1) : skip(at, depth + 1);
    if (at == nullptr) {
      return nullptr;
    }
  }
  return at;
}

const std::uint8_t* MsgpackScanner::array(const Node& node, const std::uint8_t* at, unsigned depth) {
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

const std::uint8_t* MsgpackScanner::value(std::uint16_t index, const std::uint8_t* at, unsigned depth) {
  const Node& node = layout_.nodes[index];
  Type& type = found_.types[node.slot];
  Capture& capture = found_.captures[node.slot];
  if (type != Type::absent && node.end != node.slot + 1) {
    for (std::size_t slot = node.slot; slot != node.end; ++slot) {
      found_.types[slot] = Type::absent;
    }
  }
  Head head;
  if (read_head(at, head) == nullptr) {
    return nullptr;
  }
  const bool object_here = head.type == Type::object && node.key_count != 0;
  const bool array_here = head.type == Type::array && (node.item_count != 0 || node.tail_count != 0);
  const bool rows_here = head.type == Type::array && node.shape != kNone;
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
  type = head.type;
  capture = {at, end == nullptr ? 0 : static_cast<std::uint32_t>(end - at)};
  return end;
}

const std::uint8_t* MsgpackScanner::rows(const Shape& shape, const std::uint8_t* at, unsigned depth) {
  return elements(
      at, [&](const std::uint8_t* from, const Capture&, Type) { return row(shape, from, depth + 1); });
}

const std::uint8_t* MsgpackScanner::row(const Shape& shape, const std::uint8_t* at, unsigned depth) {
  RowParts parts;
  Head head;
  const std::uint8_t* body = read_head(at, head);
  if (body == nullptr) {
    return nullptr;
  }
  if (head.type != (shape.objects ? Type::object : Type::array)) {
    if (at = skip(at, depth); at != nullptr) {
      ++levels_.rejected;
    }
    return at;
  }
  if (depth >= kMaxDepth) {
    return fail(at);
  }
  at = body;
  for (std::uint32_t i = 0; i < head.count; ++i) {
    std::uint16_t part = kNone;
    if (shape.objects) {
      std::uint16_t key;
      if (at = member(layout_.nodes[shape.node], at, key); at == nullptr) {
        return nullptr;
      }
      part = key != kNone ? layout_.keys[key].node : kNone;
    } else {
      for (std::uint16_t p = 0; p < kParts; ++p) {
        part = shape.at[p] == i ? p : part;
      }
    }
    at = part != kNone ? leaf(at, parts.types[part], parts.captures[part], depth + 1) : skip(at, depth + 1);
    if (at == nullptr) {
      return nullptr;
    }
  }
  put_row(shape, parts, scratch_, levels_);
  return at;
}

}  // namespace dragoman::json

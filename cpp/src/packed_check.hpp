#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "dragoman/packed_layout.hpp"

/// The pieces `compile` is made of. Each names its place when something cannot be.
namespace dragoman::packed {

/// A place in a stream's description, such as "stream 'a': layout 'quote': field 'open'".
class Place {
 public:
  explicit Place(std::string text) : text_(std::move(text)) {}

  [[nodiscard]] Place in(std::string_view what) const { return Place(text_ + ": " + std::string(what)); }
  [[nodiscard]] Place in(std::string_view what, std::string_view name) const {
    return Place(text_ + ": " + std::string(what) + " '" + std::string(name) + "'");
  }

  [[noreturn]] void fail(std::string_view found, std::string_view expected) const {
    throw std::invalid_argument(text_ + ": found " + std::string(found) + ", expected " +
                                std::string(expected));
  }

 private:
  std::string text_;
};

/// What the fields and tables of one packet are compiled against.
struct PacketContext {
  bool big = true;
  std::uint32_t size = 0;        ///< bytes that are surely there
  bool open_ended = false;       ///< more may follow: tables may be counted or run to the end
  bool vector = false;           ///< offsets are positions of a topic's values
  bool may_keep = false;         ///< merged: "unchanged" has something to keep
  std::optional<Divisor> fixed;  ///< the scale where it never varies
};

/// Fixed parts of frames and topic records lie in this many bytes.
inline constexpr std::uint64_t kHeadBytes = 4096;

struct CompiledField {
  WideOp op;
  Wire wire;
  std::uint8_t form;  ///< Form
  bool checked;
};

Wire compile_wire(const std::string& type, std::uint16_t& width, bool digits_too, const Place& place);
Wire compile_wire(const std::string& type, const Place& place);
std::uint32_t compile_offset(std::int64_t offset, std::uint64_t width, std::uint64_t size,
                             const Place& place);
Load compile_part(const PartSpec& part, std::uint64_t size, bool digits_too, const Place& place);
Divisor compile_divisor(std::int64_t divisor, const Place& place);
std::uint64_t compile_condition(std::int64_t value, const Load& part, const Place& place);
Kind compile_kind(const std::string& kind, const Place& place);
Mode compile_mode(const std::string& mode, const Place& place);
std::uint16_t compile_flags(const std::vector<std::string>& flags, const Place& place);

/// @param seen  presence bits set so far; a field that sets one again is refused
CompiledField compile_field(const FieldSpec& field, const PacketContext& context, std::uint32_t& seen,
                            const Place& place);

/// @param seen  presence bits that fields set: the others of the top of book are taken from the first levels
Depth compile_depth(const std::vector<LevelsSpec>& levels, Kind kind, const PacketContext& context,
                    std::uint32_t seen, const Place& place);

VectorOp compile_vector(const VectorSpec& spec, bool define, const Place& place);
DefineOp compile_define(const DefineSpec& spec, const Load& topic, const Place& place);
Schema compile_schema(const SchemaSpec& spec, std::uint32_t width, bool big, const Place& place);

/// Build the selector of a layout whose packets are compiled, and refuse what could match twice.
void compile_selector(const StreamSpec& spec, Layout& layout, const Place& stream);

/// The record flags of a packet with these tables.
std::uint16_t depth_flags(const Depth& depth, Kind kind);

void compile_scale(const ScaleSpec& scale, bool topic_record, std::uint64_t size, bool big, Packet& packet,
                   const Place& place);

/// Presence bit of a slot or integer member, -1 for an unknown name.
int presence_bit(std::string_view name) noexcept;

Record empty_record() noexcept;

}  // namespace dragoman::packed

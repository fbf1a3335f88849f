#include <Python.h>

#include <cstdint>
#include <cstring>

#include "bindings.hpp"
#include "dragoman/journal_run.hpp"

namespace py = pybind11;
using namespace pybind11::literals;

namespace {

py::tuple run(const py::buffer& chunk, std::size_t offset, std::uint64_t sequence, const py::bytes& previous,
              std::uint32_t epoch, std::uint16_t stop_kind) {
  const py::buffer_info bytes = chunk.request();
  if (bytes.itemsize != 1 || bytes.ndim != 1 || bytes.strides[0] != 1) {
    throw py::value_error("journal_run: the chunk is not one row of bytes");
  }
  const std::string_view hash = previous;
  dragoman::JournalRun from;
  if (hash.size() != from.hash.size()) {
    throw py::value_error("journal_run: the hash has " + std::to_string(hash.size()) + " bytes, expected 16");
  }
  std::memcpy(from.hash.data(), hash.data(), hash.size());
  from.offset = offset;
  from.sequence = sequence;
  const auto found =
      dragoman::journal_run({static_cast<const std::byte*>(bytes.ptr), static_cast<std::size_t>(bytes.size)},
                            from, epoch, stop_kind);
  return py::make_tuple(found.offset, found.sequence,
                        py::bytes(reinterpret_cast<const char*>(found.hash.data()), found.hash.size()),
                        found.newest_ns, found.count, found.kind);
}

py::bytes hash_of(const py::buffer& data) {
  const py::buffer_info bytes = data.request();
  const auto hash = dragoman::blake2b_16(bytes.ptr, static_cast<std::size_t>(bytes.size * bytes.itemsize));
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

}  // namespace

void bind_journal(py::module_& m) {
  m.def("journal_run", run, "chunk"_a, "offset"_a, "sequence"_a, "previous"_a, "epoch"_a, "stop_kind"_a);
  m.def("blake2b_16", hash_of, "data"_a);
}

#include <pybind11/pybind11.h>

#include "bindings.hpp"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The native core: layouts, decoders, batches, books, rate limits. It knows no broker by name.";
  bind_instruments(m);
  bind_layout(m);
  bind_layout_json(m);
  bind_layout_protobuf(m);
  bind_decoder(m);
  bind_book(m);
  bind_clock(m);
  bind_gate(m);
  bind_request(m);
  bind_identity(m);
  bind_rate_limit(m);
  bind_turnstile(m);
  bind_sequence_guard(m);
  bind_histogram(m);
  bind_http(m);
  bind_http_exchange(m);
  bind_marks(m);
  bind_triggers(m);
  bind_intake(m);
  bind_values(m);
  bind_crc32c(m);
  bind_journal(m);
  bind_journal_queue(m);
  bind_plain(m);
}

#include <string>

#include "bindings.hpp"
#include "dragoman/instruments.hpp"

namespace py = pybind11;

void bind_instruments(py::module_& m) {
  m.def("intern_instrument", &dragoman::intern_instrument, py::arg("instrument_id"));
  m.def(
      "instrument_name",
      [](std::int64_t handle) {
        const std::string_view name = dragoman::instrument_name(handle);
        if (name.empty()) {
          throw py::index_error("no instrument has handle " + std::to_string(handle) + "; there are " +
                                std::to_string(dragoman::instrument_count()));
        }
        return name;
      },
      py::arg("handle"));
  m.def("instrument_count", &dragoman::instrument_count);
}

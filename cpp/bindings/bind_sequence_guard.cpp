#include <pybind11/native_enum.h>
#include <pybind11/pybind11.h>

#include "bindings.hpp"
#include "dragoman/sequence_guard.hpp"

namespace py = pybind11;
using namespace pybind11::literals;

void bind_sequence_guard(py::module_& m) {
  using dragoman::SequenceGuard;
  py::native_enum<SequenceGuard::Verdict>(m, "Verdict", "enum.Enum")
      .value("FOLLOWS", SequenceGuard::Verdict::kFollows)
      .value("DUPLICATE", SequenceGuard::Verdict::kDuplicate)
      .value("GAP", SequenceGuard::Verdict::kGap)
      .finalize();
  py::class_<SequenceGuard>(m, "SequenceGuard", py::is_final())
      .def(py::init<>())
      .def("reset", &SequenceGuard::reset, "last"_a)
      .def("adopt", &SequenceGuard::adopt)
      .def("check", &SequenceGuard::check, "expected"_a, "last"_a)
      .def_property_readonly("last", &SequenceGuard::last);
}

"""The conformance kit: plain-text scenarios that any adapter with an emulator must play through.

>>> from dragoman.testing.conformance import load_scenarios, run
>>> run("examplebroker", "orders/partial_fill").status        # doctest: +SKIP
'passed'

See docs/conformance.md for the words of scenarios, and for declaring in what a broker differs.
"""

from dragoman.testing.conformance.differences import Difference, DifferenceError, differences_of, read_differences
from dragoman.testing.conformance.runner import Result, play, run
from dragoman.testing.conformance.scenario import Scenario, ScenarioError, load_scenarios, read_scenario

__all__ = [
    "Difference",
    "DifferenceError",
    "Result",
    "Scenario",
    "ScenarioError",
    "differences_of",
    "load_scenarios",
    "play",
    "read_differences",
    "read_scenario",
    "run",
]

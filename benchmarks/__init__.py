"""Comparisons with peers on the same bytes. `python -m benchmarks` runs them all; see README, Measured."""

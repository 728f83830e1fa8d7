"""Benchmarks: these scripts print the figures that the documentation states."""

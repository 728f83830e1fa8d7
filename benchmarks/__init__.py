"""Measurements: what the documentation states is printed by these scripts."""

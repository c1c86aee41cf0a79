"""Measurements: each is a program whose output is kept in `results/`."""

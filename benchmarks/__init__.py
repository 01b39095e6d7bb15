"""Benchmarks: statistical and crash tests of the whole loop, run by make bench."""

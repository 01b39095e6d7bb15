"""Arithmetic on verified values: whether a gain is real. Knows numbers, no stored objects."""

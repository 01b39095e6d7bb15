"""Admission: which directions, experiments and findings of an agent are accepted, and why others are rejected."""

"""Processes that watch and restart each other."""

"""Campaigns that the benchmarks measure: simulated, made up, or real ones under fire."""

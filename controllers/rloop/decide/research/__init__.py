"""Steps about the search: baseline, keep or reject, stale iterations and pivots, the next iteration, the target."""

"""Steps about workloads: attempts, scorings and sessions, from their start to the removal of those no longer needed."""

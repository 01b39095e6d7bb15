"""Steps about workloads: attempts, scorings and sessions, from their start to the end of what nobody wants."""

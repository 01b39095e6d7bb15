"""Verifies a stored campaign: its ledger, its experiments, and every keep. `rloop verify` and benchmarks call it."""

"""The gate: which directions, experiments and findings of an agent are let in, and why not."""

"""The local shell: a campaign on one machine, with SQLite as the store and processes as workloads."""

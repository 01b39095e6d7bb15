"""The run folder: its layout, its lock, and the port `Store` in one SQLite file."""

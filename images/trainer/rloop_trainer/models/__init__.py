"""Models on disk: where a run starts from, and what it writes."""

"""Real tables of trainings, and searches on them: what `benchmarks.search` compares."""

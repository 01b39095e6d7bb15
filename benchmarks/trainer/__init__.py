"""`python -m benchmarks.trainer`: the trainer against plain TRL, with ranks, and killed again and again."""

"""The agents without a language model: pure functions that choose the next point."""

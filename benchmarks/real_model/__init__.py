"""Campaigns with a real language model on this machine's CPU. `__main__` says what is measured."""

"""Reads what a user wrote: the manifest and the folders it names, with every problem at once."""

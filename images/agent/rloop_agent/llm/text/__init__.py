"""Reads a reply's text: calls that were written as text, and replies that waste a session."""

"""Printing: numbers and names as text, output formats, exit codes."""

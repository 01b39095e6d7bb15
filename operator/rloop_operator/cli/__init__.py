"""The rloop command: its verbs, its output formats and its exit codes."""

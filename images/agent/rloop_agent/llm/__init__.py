"""The agent that thinks with a language model: one session, one process, one fresh context."""

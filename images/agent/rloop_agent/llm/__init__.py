"""The agent with a language model: one session is one process and one fresh conversation."""

"""The agent: one session of proposing experiments through the gateway."""

"""The agent: one session that proposes experiments through the gateway."""

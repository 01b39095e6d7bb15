"""The tools of a session, and the state that they work on."""

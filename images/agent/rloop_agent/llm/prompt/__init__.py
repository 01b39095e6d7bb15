"""The first message of a session, whole or short."""

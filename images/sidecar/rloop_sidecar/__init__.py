"""The sidecar's image: unpacks files before a user's container starts, and reports its progress."""

"""The sidecar's image: lays files out before a container of the user's starts, and relays what it reports."""

"""Requests to the API server, and objects that any room may write: Events, Leases, children of a loop."""

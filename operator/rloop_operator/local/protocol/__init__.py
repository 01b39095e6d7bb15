"""The protocol's files in a run folder, rendered from the stored objects."""

"""The imperative shell: everything that touches the world on behalf of the pure core."""

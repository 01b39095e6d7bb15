"""The cluster shell: the three ports on a Kubernetes API server, and the processes that run there."""

"""The cluster shell: the three ports implemented on a Kubernetes API server, and the processes in a cluster."""

"""The simulated shell: a campaign in memory, with simulated workloads and a virtual clock."""

"""The simulated shell: a campaign in memory, with made-up workloads and a virtual clock."""

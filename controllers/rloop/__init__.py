"""The pure core: what is true of a campaign without a cluster, a clock or a network."""

"""The pure core: rules and decisions of a campaign, without a cluster, a clock or a network."""

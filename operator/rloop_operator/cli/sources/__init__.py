"""Where a command reads a campaign: a run folder or a cluster, as one snapshot."""

"""The gateway: the only door through which agents and sidecars reach a campaign."""

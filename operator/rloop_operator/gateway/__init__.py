"""The gateway: the only API through which agents and sidecars reach a campaign."""

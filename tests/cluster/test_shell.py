"""Example 02 as `kubectl apply -k` brings it to a cluster: any program is a task, and held-out data is a Secret."""

import pytest
from tests.cluster import whole
from tests.cluster.campaign import Campaign
from tests.cluster.harness.cluster import Cluster

AGENT = {"policy": {"name": "random-search", "seed": 11}, "maxExperiments": 2}
"""With small iterations it takes half the runs."""


@pytest.mark.timeout(2 * whole.CAMPAIGN_SECONDS, func_only=True)
def test_it_reaches_its_target(cluster: Cluster, namespace: str, release: str) -> None:
    campaign = Campaign(cluster, namespace, "shell-awk", "02-shell-awk")
    whole.check(campaign, release, 0.02, agent=AGENT, stall={"pivotAfter": 1})

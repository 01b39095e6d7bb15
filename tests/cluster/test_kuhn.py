"""Example 01 as `kubectl apply -k` brings it to a cluster: a target that only a change of method can reach."""

import pytest
from tests.cluster import whole
from tests.cluster.campaign import Campaign
from tests.cluster.harness.cluster import Cluster


@pytest.mark.timeout(2 * whole.CAMPAIGN_SECONDS, func_only=True)
def test_it_reaches_its_target(cluster: Cluster, namespace: str, release: str) -> None:
    whole.check(Campaign(cluster, namespace, "kuhn-selfplay", "01-kuhn-selfplay"), release, 0.05)

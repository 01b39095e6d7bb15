"""What one process of a run gets of its pod's CPUs."""

from __future__ import annotations

import pytest

from rloop.api.workload import ExperimentTemplate


@pytest.mark.parametrize(
    ("kind", "resources", "threads"),
    [
        ({"job": {}}, {}, 1),
        ({"job": {}}, {"requests": {"cpu": "500m"}}, 1),
        ({"job": {}}, {"requests": {"cpu": "2"}, "limits": {"cpu": "4500m"}}, 4),
        ({"pyTorchJob": {"replicas": 2, "procPerNode": 8}}, {"limits": {"cpu": "64"}}, 8),
        ({"pyTorchJob": {"procPerNode": 4}}, {"limits": {"cpu": "2"}}, 1),
    ],
)
def test_the_ranks_of_a_pod_share_its_cpus(kind: dict[str, object], resources: dict[str, object], threads: int) -> None:
    template = {**kind, "command": ["true"], "resources": resources}
    assert ExperimentTemplate.model_validate(template).threads == threads

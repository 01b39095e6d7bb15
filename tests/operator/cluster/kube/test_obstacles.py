"""What an API server, a kubelet and a scheduler say, and what is told of it. The texts are real ones."""

from typing import Any

import pytest

from rloop import names
from rloop.reasons import Reason
from rloop_operator.cluster.kube import obstacles
from rloop_operator.cluster.kube.client import KubeError

CLAIM = {"metadata": {"name": "demo-workspace"}, "status": {"phase": "Pending"}}


def pod(*, waits: dict[str, str] | None = None, container: str = "experiment", unplaced: str = "") -> dict[str, Any]:
    status: dict[str, Any] = {"phase": "Pending"}
    if waits:
        status["containerStatuses"] = [{"name": container, "image": "there/x:1", "state": {"waiting": waits}}]
    if unplaced:
        status["conditions"] = [{"type": "PodScheduled", "reason": "Unschedulable", "message": unplaced}]
    return {"metadata": {"name": "demo-b01-r1-a1-x"}, "status": status}


@pytest.mark.parametrize(
    ("status", "told", "reason", "says"),
    [
        (
            403,
            'pods "x" is forbidden: exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0',
            "QuotaExceeded",
            "raise the quota",
        ),
        (
            403,
            'pods "x" is forbidden: unable to create new content in namespace a because it is being terminated',
            "NamespaceTerminating",
            "in another one",
        ),
        (
            403,
            (
                'pods "x" is forbidden: error looking up service account a/rloop-agent: serviceaccount "rloop-agent" '
                "not found"
            ),
            "ServiceAccountMissing",
            "watchNamespaces",
        ),
        (
            403,
            'jobs.batch is forbidden: User "system:serviceaccount:r:rloop-operator" cannot create resource "jobs"',
            "Forbidden",
            "watchNamespaces",
        ),
        (
            403,
            'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true',
            "PodNotAdmitted",
            "Pod Security",
        ),
        (
            422,
            'Job.batch "x" is invalid: spec.template.spec.nodeSelector: Invalid value',
            "NotAdmitted",
            "nodeSelector",
        ),
    ],
)
def test_a_refused_object(status: int, told: str, reason: str, says: str) -> None:
    found = obstacles.refusal(KubeError(status, "Forbidden", told), "x")
    assert found is not None
    assert (found.reason, found.about) == (reason, "x")
    assert says in found.message


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_a_server_in_passing_trouble_is_no_obstacle(status: int) -> None:
    assert obstacles.refusal(KubeError(status, "Unknown", "etcd leader changed"), "x") is None


@pytest.mark.parametrize(
    ("container", "field"),
    [("experiment", "spec.experiment.image"), ("verifier", "spec.evaluation.image"), ("relay", "images.sidecar")],
)
def test_an_image_that_cannot_be_pulled_names_what_set_it(container: str, field: str) -> None:
    found = obstacles.of_containers(pod(waits={"reason": "ImagePullBackOff"}, container=container))
    assert found is not None
    assert found.reason == "ImagePullFailed"
    assert '"there/x:1"' in found.message
    assert field in found.message


def test_a_container_that_is_just_being_made_is_none() -> None:
    assert obstacles.of_containers(pod(waits={"reason": "ContainerCreating"})) is None


@pytest.mark.parametrize(
    ("told", "claim", "claim_told", "unplaced", "reason", "says"),
    [
        pytest.param(
            ['MountVolume.SetUp failed for volume "held-out" : secret "points" not found'],
            None,
            [],
            "",
            "InputsMissing",
            'there is no secret "points"',
            id="a secret",
        ),
        pytest.param(
            [],
            CLAIM,
            ['storageclass.storage.k8s.io "nowhere" not found'],
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
            "StorageClassMissing",
            '"nowhere"',
            id="a storage class",
        ),
        pytest.param(
            [],
            CLAIM,
            [],
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
            Reason.WAITING_FOR_CAPACITY,
            "Insufficient nvidia.com/gpu",
            id="a claim that waits for the pod, which waits for a GPU",
        ),
        pytest.param(
            [],
            CLAIM,
            [],
            "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind.",
            "VolumeNotBound",
            "didn't find available",
            id="no volume",
        ),
        pytest.param(
            [],
            None,
            [],
            "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) had untolerated taint.",
            Reason.WAITING_FOR_CAPACITY,
            "nvidia.com/gpu",
            id="a full cluster",
        ),
        pytest.param(
            [],
            None,
            [],
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
            "Unschedulable",
            "selector",
            id="a selector that fits nothing",
        ),
    ],
)
def test_a_pod_that_waits(
    told: list[str], claim: dict[str, Any] | None, claim_told: list[str], unplaced: str, reason: str, says: str
) -> None:
    found = obstacles.of_pod(pod(unplaced=unplaced), told, claim, claim_told)
    assert found is not None
    assert found.reason == reason
    assert says in found.message


def test_a_job_without_a_pod() -> None:
    told = ['Error creating: pods "x" is forbidden: exceeded quota: none, requested: pods=1']
    job = {"kind": "Job", "metadata": {"name": "x"}}
    found = obstacles.of_job(job, told)
    assert found is not None
    assert found.reason == "QuotaExceeded"
    assert obstacles.of_job(job, []) is None


@pytest.mark.parametrize(
    ("status", "reason"),
    [({}, "TrainingOperatorSilent"), ({"conditions": [{"type": "Created", "status": "True"}]}, None)],
)
def test_a_pytorchjob_that_nobody_takes_up(status: dict[str, Any], reason: str | None) -> None:
    found = obstacles.of_job({"kind": "PyTorchJob", "metadata": {"name": "x"}, "status": status}, [])
    assert (found and found.reason) == reason


@pytest.mark.parametrize(
    ("spec", "labels", "annotations", "words"),
    [
        ({"suspend": True}, {names.LABEL_QUEUE: "gpus"}, {}, 'queue "gpus"'),
        ({"runPolicy": {"suspend": True}}, {names.LABEL_QUEUE: "gpus"}, {}, 'queue "gpus"'),
        ({"runPolicy": {"suspend": True}}, {}, {}, "set suspend to false"),
        ({"runPolicy": {}}, {names.LABEL_QUEUE: "gpus"}, {}, None),
        # We suspended it ourselves, to end it.
        ({"suspend": True}, {}, {names.ANNOTATION_STOP: "Hang"}, None),
    ],
)
def test_a_job_that_a_queue_holds_back(
    spec: dict[str, Any], labels: dict[str, str], annotations: dict[str, str], words: str | None
) -> None:
    metadata = {"name": "x", "labels": labels, "annotations": annotations}
    found = obstacles.queued({"metadata": metadata, "spec": spec})
    assert (found is None) if words is None else (found is not None and words in found.message)

"""The manifest that docs/gpu-jobs.md shows, and the smallest one with GPUs, rendered and compared whole.

A change of what is rendered shows in golden/*.yaml as the API server will get it. Write them again, and read the diff:

    python -m tests.operator.cluster.test_golden
"""

import difflib
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from tests.operator.cluster.golden import page
from tests.support import builders, deciding

from rloop import names
from rloop.actions import Workload
from rloop.admit.loop import unsupported
from rloop.api.researchloop import ResearchLoop
from rloop.decide.draft import Draft
from rloop.decide.work.attempt import workload as attempt_workload
from rloop_operator.cluster.kube import client
from rloop_operator.cluster.settings import Settings
from rloop_operator.cluster.workloads import job_manifests, pod_manifests
from rloop_operator.user_files import manifest

HEADER = "# Written by python -m tests.operator.cluster.test_golden, which says what it is.\n"
EXPERIMENT = "demo-i0001-e1"
UIDS = {"loop": "11111111-1111-1111-1111-111111111111", "experiment": "22222222-2222-2222-2222-222222222222"}
SETTINGS = Settings(
    namespace="rloop",
    pod="rloop-operator-0",
    watched=("research",),
    patrol_seconds=60,
    gateway_url="http://10.96.0.10:8080",
    llm_proxy_url="http://10.96.0.11:8080",
    agent_image="rloop.test/rloop-agent:dev",
    verifier_image="rloop.test/rloop-verifier:dev",
    sidecar_image="rloop.test/rloop-sidecar:dev",
    pull_policy="IfNotPresent",
    run_as_user=65532,
    network_policies=True,
)


def documented() -> dict[str, Any]:
    """The page's spec, and the one way to be placed that it leaves out."""
    spec = page.spec()
    return spec | {"experiment": spec["experiment"] | {"priorityClassName": "research"}}


def smallest() -> dict[str, Any]:
    """One pod, one rank, one GPU, and nothing said that can be left out."""
    resources = {"limits": {"nvidia.com/gpu": 1}}
    return {"experiment": {"pyTorchJob": {}, "image": "trainer:1", "command": ["./train"], "resources": resources}}


CASES: dict[str, Callable[[], dict[str, Any]]] = {"documented": documented, "smallest": smallest}


def accepted(spec: dict[str, Any]) -> ResearchLoop:
    """The loop, having come the way of a user's manifest."""
    sources = {"task": {"configMap": {"name": "files"}}, "evaluation__code": {"configMap": {"name": "scorer"}}}
    loop = manifest.parse(builders.manifest(**sources, **spec), page.PAGE.name)
    assert unsupported(loop, "cluster") == []
    return loop.model_copy(update={"metadata": loop.metadata.model_copy(update={"uid": UIDS["loop"]})})


def owner(kind: str, name: str) -> dict[str, Any]:
    held = {"apiVersion": "rloop.dev/v1alpha1", "kind": f"Research{kind.capitalize()}"}
    return client.owner_reference(held | {"metadata": {"name": name, "uid": UIDS[kind]}})


def test_a_smoke_test_is_told_so_and_keeps_its_own_deadline() -> None:
    spec: dict[str, Any] = {"experiment": {"job": {}, "image": "trainer:1", "command": ["./train"]}}
    loop = accepted(spec)
    smoke = Workload(names.attempt(EXPERIMENT, 1, 1), "run", EXPERIMENT, 300, run=1, seed=7, kind="smoke")
    job = job_manifests.job(job_manifests.Attempt(loop, smoke, SETTINGS, {}), owner("experiment", EXPERIMENT))
    pod = job["spec"]["template"]["spec"]
    assert {"name": "RLOOP_SMOKE", "value": "1"} in pod["containers"][0]["env"]
    assert job["spec"]["activeDeadlineSeconds"] == 300 + loop.spec.experiment.pending_deadline_seconds


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ({"pyTorchJob": {"replicas": 2, "procPerNode": 3}}, "6"),
        ({"pyTorchJob": {"replicas": 2}}, "2"),
        ({"job": {}}, None),
    ],
)
def test_a_preflight_is_no_rank_and_knows_how_many_there_will_be(job: dict[str, Any], told: str | None) -> None:
    loop = accepted({"experiment": {**job, "image": "trainer:1", "command": ["./train"], "preflight": ["./check"]}})
    workload = Workload(names.attempt(EXPERIMENT, 1, 1), "run", EXPERIMENT, 300, run=1, seed=7, kind="screen")
    attempt, by = job_manifests.Attempt(loop, workload, SETTINGS, {}), owner("experiment", EXPERIMENT)
    if (replicas := loop.spec.experiment.py_torch_job) is None:
        template = job_manifests.job(attempt, by)["spec"]["template"]
    else:
        made = job_manifests.pytorch_job(attempt, replicas, by)
        template = made["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]
    (preflight,) = [one for one in template["spec"]["initContainers"] if one["name"] == "preflight"]
    env = {one["name"]: one.get("value") for one in preflight["env"]}
    assert (env.get("WORLD_SIZE"), "RANK" in env) == (told, False)


def render(case: str) -> str:
    """The claim and the job of a run's first attempt, as YAML."""
    loop = accepted(CASES[case]())
    job = loop.spec.experiment.py_torch_job
    assert job is not None
    deadline = loop.spec.experiment.active_deadline_seconds
    name = names.attempt(EXPERIMENT, 1, 1)
    workload = Workload(name, "run", EXPERIMENT, deadline, run=1, seed=7, kind="screen", place="3" * 32)
    digests = {"demo-task": "a" * 64, EXPERIMENT: "b" * 64}
    made = [
        pod_manifests.workspace_claim(loop, owner("loop", "demo")),
        job_manifests.pytorch_job(
            job_manifests.Attempt(loop, workload, SETTINGS, digests), job, owner("experiment", EXPERIMENT)
        ),
    ]
    # As JSON first, as it goes over the wire: YAML would write an anchor where two places share a list.
    return HEADER + yaml.safe_dump_all(json.loads(json.dumps(made)), sort_keys=False, width=120)


@pytest.mark.parametrize("case", CASES)
def test_a_manifest_is_rendered_as_it_stands_in_the_golden_file(case: str) -> None:
    file = page.GOLDEN / f"{case}.yaml"
    stands, rendered = file.read_text().splitlines(), render(case).splitlines()
    diff = list(difflib.unified_diff(stands, rendered, f"golden/{file.name}", "rendered now", lineterm=""))
    if diff:
        pytest.fail("\n".join(diff), pytrace=False)


if __name__ == "__main__":
    for each in CASES:
        (page.GOLDEN / f"{each}.yaml").write_text(render(each))


def test_the_pod_of_a_run_says_nothing_of_the_seeds_of_scorings() -> None:
    """It is the same whatever they are, and its mounts name neither loop, experiment nor run."""

    def started(key: bytes) -> str:
        loop = accepted({"experiment": {"job": {}, "image": "trainer:1", "command": ["./train"]}})
        attempt = builders.attempt("Pending")
        objects = (builders.experiment(EXPERIMENT, builders.run(phase="Running", attempts=[attempt])), loop)
        keys = names.SeedKeys(b"of runs", key)
        draft = Draft(deciding.observed(objects[1], objects[0], seed_keys=keys))
        draft.scoring_seed(EXPERIMENT, 1, 1)
        made = attempt_workload(draft, objects[0], objects[0].status.runs[0], attempt)
        return json.dumps(
            job_manifests.job(job_manifests.Attempt(loop, made, SETTINGS, {}), owner("experiment", EXPERIMENT))
        )

    one, other = started(b"one"), started(b"other")
    assert one == other
    paths = [text.split('"')[0] for text in one.split('"subPath": "')[1:]]
    assert paths
    assert not [path for path in paths if UIDS["loop"] in path or "demo" in path or "r1" in path.split("/")]

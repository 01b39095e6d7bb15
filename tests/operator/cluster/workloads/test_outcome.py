"""When a run counts as ended: a success as soon as its containers say so, any other end when the pod or Job does."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.operator.cluster.conftest import Clock

from rloop import names
from rloop.api.helpers import Curve, ProgressRequest
from rloop.observed import WorkloadState
from rloop_operator.cluster.workloads import outcome

DONE = {"terminated": {"exitCode": 0}}
KILLED = {"terminated": {"exitCode": 143}}
FAILED = {"terminated": {"exitCode": 3}}
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
WAITING = {"waiting": {"reason": "PodInitializing"}}


def pod(main: dict[str, Any], *inits: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    status = {
        "phase": "Running",
        "containerStatuses": [{"name": "main", "state": main}],
        "initContainerStatuses": [{"name": "init", "state": state} for state in inits],
    }
    return {"kind": "Pod", "metadata": {"name": "x", **metadata}, "status": status}


@pytest.mark.parametrize(
    ("pod", "succeeded"),
    [
        (pod(DONE, DONE, DONE), True),
        (pod(DONE, DONE), True),
        # The relay has not had its last word.
        (pod(DONE, DONE, RUNNING), False),
        (pod(DONE, DONE, KILLED), True),
        (pod(RUNNING, DONE, RUNNING), False),
        (pod(WAITING, FAILED, WAITING), False),
        # Somebody may have ended these, and the Job or the pod's phase will say who.
        (pod(FAILED, DONE, DONE), False),
        (pod(KILLED, DONE, DONE), False),
        (pod(DONE, DONE, DONE, deletionTimestamp="2026-01-01T00:00:00Z"), False),
        ({"kind": "Pod", "metadata": {"name": "x"}, "status": {"phase": "Pending"}}, False),
    ],
)
def test_only_a_plain_success_is_read_from_the_containers(pod: dict[str, Any], succeeded: bool) -> None:
    assert outcome.succeeded(pod, [pod]) is succeeded
    assert not outcome.succeeded(pod, [])


def worker(index: int, main: dict[str, Any], *inits: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    made = pod(main, *inits, **metadata)
    made["metadata"] |= {"name": f"x-worker-{index}"}
    return made


def ended(code: int, second: int = 5, **more: Any) -> dict[str, Any]:
    begun = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": f"2026-01-01T00:00:{second:02}Z"}
    return {"terminated": {"exitCode": code, **begun, **more}}


def job(condition: str, message: str = "", **annotations: str) -> dict[str, Any]:
    reason = f"PyTorchJob{condition}"
    return {
        "kind": "PyTorchJob",
        "metadata": {"name": "x", "annotations": {f"rloop.dev/{key}": text for key, text in annotations.items()}},
        "spec": {"pytorchReplicaSpecs": {"Worker": {"replicas": 2}}},
        "status": {
            "startTime": "2026-01-01T00:00:00Z",
            "conditions": [{"type": condition, "status": "True", "reason": reason, "message": message}],
        },
    }


NOW = datetime(2026, 1, 1, 0, 0, 40, tzinfo=UTC)
GONE = {"deletionTimestamp": "2026-01-01T00:00:09Z"}
DEADLINE = "PyTorchJob x has failed because it was active longer than specified deadline"


@pytest.mark.parametrize(
    ("workload", "workers", "expected"),
    [
        pytest.param(
            job("Succeeded"), [worker(0, ended(0)), worker(1, ended(0))], (0, "Completed", False, 5), id="both succeed"
        ),
        pytest.param(
            job("Failed"), [worker(0, ended(0)), worker(1, ended(3))], (3, "Error", False, 5), id="one of two fails"
        ),
        pytest.param(
            job("Failed"),
            [worker(0, ended(1, 9)), worker(1, ended(7, 8))],
            (7, "Error", False, 8),
            id="the first that failed took the other with it",
        ),
        pytest.param(
            job("Failed"),
            [worker(0, ended(1, 5)), worker(1, ended(137, 6, reason="OOMKilled"))],
            (137, "OutOfMemory", False, 6),
            id="the kernel is slower to tell than the peer, and knows why",
        ),
        pytest.param(
            job("Failed"),
            [worker(0, ended(143, 9), **GONE), worker(1, ended(1, 8))],
            (1, "Error", False, 8),
            id="a worker that was deleted for the failure of another",
        ),
        pytest.param(
            job("Failed"), [worker(1, ended(143, 9), **GONE)], (None, "Lost", True, 9), id="a pod that somebody deleted"
        ),
        pytest.param(job("Failed"), [], (None, "Lost", True, 40), id="no pod is left"),
        pytest.param(
            job("Failed"),
            [
                worker(0, WAITING, ended(3, message="AlreadyRan: the pod a has already begun this attempt")),
                worker(1, RUNNING),
            ],
            (None, "Lost", True, 0),
            id="a controller made a pod in the place of a lost one",
        ),
        pytest.param(job("Failed", DEADLINE), [], (None, "DeadlineExceeded", False, 40), id="its backstop ended it"),
        pytest.param(
            job("Failed", DEADLINE, **{"stop-reason": "Hang"}),
            [],
            (None, "Hang", False, 40),
            id="we ended it",
        ),
        pytest.param(
            job("Failed", DEADLINE, **{"stop-reason": "PendingDeadline"}),
            [],
            (None, "PendingDeadline", True, 40),
            id="it never began",
        ),
    ],
)
def test_how_a_pytorchjob_ended(
    workload: dict[str, Any], workers: list[dict[str, Any]], expected: tuple[int | None, str, bool, float]
) -> None:
    assert outcome.ended(workload)
    found = outcome.exit_of(workload, workers, "last output", NOW)
    assert (found.code, found.reason, found.infrastructure, found.usage.wall_seconds) == expected
    assert found.log_tail == "last output"


def test_a_scoring_that_finds_no_artifact_of_a_run_lost_it_with_the_volume() -> None:
    scoring = pod(WAITING, ended(3, message="ArtifactMissing: there is no folder /rloop/run/artifacts"))
    scoring["status"]["phase"] = "Failed"
    found = outcome.exit_of(scoring, [scoring], "", NOW)
    assert (found.code, found.reason, found.infrastructure) == (None, "ArtifactLost", True)


@pytest.mark.parametrize(
    ("message", "reason", "infrastructure"),
    [
        ('Usage of EmptyDir volume "tmp" exceeds the limit "10Gi". ', "DiskLimitExceeded", False),
        ("Pod ephemeral local storage usage exceeds the total limit of containers 11Gi. ", "DiskLimitExceeded", False),
        (
            'Container experiment exceeded its local ephemeral storage limit "10Gi". ',
            "DiskLimitExceeded",
            False,
        ),
        (
            "The node was low on resource: ephemeral-storage. Threshold quantity: 10, available: 5. ",
            "Disrupted",
            True,
        ),
    ],
)
def test_an_eviction_for_its_own_use_is_the_runs_own_failure(message: str, reason: str, infrastructure: bool) -> None:
    evicted = worker(0, {"terminated": {"exitCode": 137, "finishedAt": None}})
    evicted["status"] |= {"phase": "Failed", "reason": "Evicted", "message": message}
    found = outcome.exit_of(evicted | {"kind": "Job"}, [evicted], "", NOW)
    assert (found.reason, found.infrastructure) == (reason, infrastructure)


def test_the_digest_of_a_scorings_copy_is_told() -> None:
    copied = ended(0, message='{"copied": "' + "a" * 64 + '"}')
    scoring = pod(ended(0), copied)
    scoring["status"]["initContainerStatuses"][0]["name"] = "unpack"
    assert outcome.exit_of(scoring, [scoring], "", NOW).artifact_sha256 == "a" * 64
    assert outcome.exit_of(pod(ended(0), ended(0)), [pod(ended(0), ended(0))], "", NOW).artifact_sha256 is None


def test_the_preflight_that_refuses_is_told_and_read() -> None:
    refused = pod(WAITING, DONE, ended(2))
    refused["status"]["initContainerStatuses"][1]["name"] = "preflight"
    refused["spec"] = {"containers": [{"name": "main"}]}
    assert outcome.container_to_read(refused) == "preflight"
    found = outcome.exit_of(job("Failed"), [refused, refused], "recipe.yaml: no such key", NOW)
    assert (found.code, found.reason, found.log_tail) == (2, "PreflightFailed", "recipe.yaml: no such key")


def test_a_training_has_begun_when_its_last_worker_has() -> None:
    later = {"running": {"startedAt": "2026-01-01T00:00:30Z"}}
    running = job("Running")
    assert outcome.begun_at(running, [worker(0, RUNNING)]) is None
    assert outcome.begun_at(running, [worker(0, RUNNING), worker(1, WAITING)]) is None
    begun = outcome.begun_at(running, [worker(0, RUNNING), worker(1, later)])
    assert begun is not None
    assert begun.second == 30
    assert not outcome.ended(running)
    assert outcome.succeeded(running, [worker(0, DONE), worker(1, DONE)])
    assert not outcome.succeeded(running, [worker(0, DONE)])


def test_a_worker_whose_node_goes_ends_the_training_of_all() -> None:
    drained = worker(0, RUNNING)
    drained["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]
    assert outcome.disrupted(job("Running"), [drained, worker(1, RUNNING)])
    assert outcome.exit_of(job("Running"), [drained, worker(1, RUNNING)], "", NOW).reason == "Disrupted"
    assert not outcome.disrupted({"kind": "Job"}, [drained])


def test_a_step_ages_only_while_the_program_runs(clock: Clock) -> None:
    steps: dict[str, outcome.Step] = {}
    report = ProgressRequest(run=1, attempt=1, step=3).model_dump_json(by_alias=True)
    reported = [worker(0, RUNNING, annotations={names.ANNOTATION_PROGRESS: report})]

    def age(later: float, pods: list[dict[str, Any]], *, started: bool = True) -> float:
        clock.now += later
        return outcome.with_report(WorkloadState("x", NOW, started=started), pods, steps, clock.now).step_age_seconds

    assert [age(0, [], started=False), age(7200, [], started=False)] == [0, 0]
    assert [age(7200, []), age(30, []), age(5, reported), age(20, reported)] == [0, 30, 0, 20]
    # A queue took its place away and gave it back; the next try reports the same step.
    assert [age(7200, [], started=False), age(7200, reported), age(10, reported)] == [0, 0, 10]


def test_a_late_relay_of_one_worker_loses_nothing() -> None:
    def note(step: int, **more: Any) -> str:
        curves = [Curve(metric="loss", steps=[1, step], values=[0.9, 0.5])]
        return ProgressRequest(run=1, attempt=1, step=step, curves=curves, **more).model_dump_json(by_alias=True)

    late = worker(0, DONE, annotations={names.ANNOTATION_PROGRESS: note(3)})
    last = worker(1, DONE, annotations={names.ANNOTATION_PROGRESS: note(9, claims={"loss": 0.5})})
    for pods in ([late, last], [last, late], [worker(0, DONE), last]):
        state = WorkloadState("x", NOW, started=True, exit=outcome.exit_of(job("Succeeded"), pods, "", NOW))
        exit_ = outcome.with_report(state, pods, {}, 0.0).exit
        assert exit_ is not None
        assert exit_.claims == {"loss": 0.5}
        assert [one.steps for one in exit_.curves] == [[1, 9]]


@pytest.mark.parametrize(
    ("why", "code"),
    [
        ('exec: "tarin": executable file not found in $PATH: unknown', 127),
        ("exec: ./train.py: no such file or directory", 127),
        ("exec: ./train.py: permission denied", 126),
        ("cgroups: cannot be set up", 128),
    ],
)
def test_a_program_that_cannot_be_executed_ends_as_in_a_shell(why: str, code: int) -> None:
    pods = [worker(0, ended(128, reason="StartError", message=why))]
    found = outcome.exit_of(job("Failed"), pods, "", NOW)
    assert (found.code, found.reason, found.log_tail) == (code, "StartFailed", why)


@pytest.mark.parametrize(
    ("code", "why", "reason"),
    [
        (3, "ArtifactTooLarge: the artifacts are larger than 5 bytes", "ArtifactTooLarge"),
        (1, "InputsUnavailable: no disk", "StartFailed"),
        (3, "no word", "StartFailed"),
    ],
)
def test_files_that_are_at_fault_are_named_as_on_a_laptop(code: int, why: str, reason: str) -> None:
    pods = [worker(0, WAITING, ended(code, message=why))]
    assert outcome.exit_of(job("Failed"), pods, "", NOW).reason == reason


@pytest.mark.parametrize(
    ("kind", "status", "pods", "taken_up"),
    [
        pytest.param("Job", {}, [], True, id="a Job is stopped by suspending it"),
        pytest.param("Pod", {}, [pod(WAITING)], False, id="no kubelet has seen this pod"),
        pytest.param("Pod", {"startTime": "2026-01-01T00:00:00Z"}, [pod(WAITING)], True, id="a kubelet has"),
        pytest.param("PyTorchJob", {}, [], False, id="no controller has seen this one"),
        pytest.param("PyTorchJob", {}, [worker(0, RUNNING)], True, id="its pod comes before its startTime"),
        pytest.param("PyTorchJob", {"startTime": "2026-01-01T00:00:00Z"}, [], True, id="it had a pod"),
    ],
)
def test_taken_up(kind: str, status: dict[str, Any], pods: list[dict[str, Any]], taken_up: bool) -> None:
    assert outcome.taken_up({"kind": kind, "metadata": {"name": "x"}, "status": status}, pods) is taken_up

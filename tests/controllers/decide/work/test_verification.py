"""Scorings: one a repeat, tried again with a pause, and no value without all of them."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from tests.support.builders import attempt, exited, experiment, moment, report, run, running, scoring, workload
from tests.support.deciding import after, experiment_after, observed, starts

from rloop.actions import Start, Workload
from rloop.api.experiment import Run, Verification
from rloop.decide.work import verification
from rloop.names import SeedKeys
from rloop.observed import Exit

NAME = "demo-i0001-e1-r1-v1"


def recorded(of: Any, own: Run, *workloads: Any, **seen: Any) -> Run:
    world = observed(of, experiment("demo-i0001-e1", own), *workloads, **seen)
    return experiment_after(verification.record, world).status.runs[0]


def test_each_repeat_gets_a_scoring_with_a_seed_of_its_own() -> None:
    found = recorded(running(evaluation__repeats=3), run(phase="Verifying")).verifications
    assert [(one.number, one.repeat, one.phase) for one in found] == [(n, n, "Pending") for n in (1, 2, 3)]
    assert len({one.seed for one in found}) == 3


def test_a_stored_intent_is_started() -> None:
    world = observed(running(), experiment("demo-i0001-e1", run(phase="Verifying", verifications=[scoring()])))
    assert starts(after(verification.record, world)) == [NAME]


@pytest.mark.parametrize(
    ("scorings", "phase", "value"),
    [
        pytest.param([scoring(0.2, 1), scoring(0.4, 2)], "Done", 0.3, id="the value is the mean of all repeats"),
        pytest.param([scoring(0.2, 1), scoring(None, 2)], "Verifying", None, id="one is missing: no value"),
        pytest.param(
            [scoring(0.2, 1, checks=[{"name": "legal", "passed": False}]), scoring(0.4, 2)],
            "Failed",
            None,
            id="a failed check gives no value, whatever the metric",
        ),
        pytest.param(
            [
                scoring(0.2, 1),
                *[scoring(None, 2, number=n, phase="Failed", reason="Timeout") for n in (2, 3, 4)],
            ],
            "Failed",
            None,
            id="three failures of one repeat are enough",
        ),
        pytest.param(
            [
                scoring(
                    None,
                    1,
                    phase="Failed",
                    reason="EvaluationFailed",
                    message="exit code 1; its last lines:\nModuleNotFoundError: No module named 'x'",
                )
            ],
            "Failed",
            None,
            id="a scorer without its module is not tried again",
        ),
        pytest.param(
            [scoring(None, 1, phase="Failed", reason="ArtifactTooLarge")],
            "Failed",
            None,
            id="nor a copy that is too large",
        ),
        pytest.param(
            [
                scoring(0.2, 1),
                scoring(None, 2, number=30, phase="Failed", infrastructure=True, retry=20, reason="Lost"),
            ],
            "Failed",
            None,
            id="lost scorings are not tried for ever",
        ),
    ],
)
def test_value(scorings: list[Verification], phase: str, value: float | None) -> None:
    found = recorded(running(evaluation__repeats=2), run(phase="Verifying", verifications=scorings))
    assert found.phase == phase
    assert found.value == (pytest.approx(value) if value is not None else None)


def test_scorings_lost_to_the_machine_are_called_so() -> None:
    lost = scoring(None, number=30, phase="Failed", infrastructure=True, retry=20, reason="Lost")
    assert recorded(running(), run(phase="Verifying", verifications=[lost])).reason == "InfrastructureFailing"


@pytest.mark.parametrize(
    ("ended", "phase", "reason"),
    [
        pytest.param(exited(message=report(0.5)), "Succeeded", None, id="a verdict with the metric"),
        pytest.param(exited(message=report(0.5, metric="other")), "Failed", "MetricMissing", id="without the metric"),
        pytest.param(exited(message="{"), "Failed", "ReportMalformed", id="no report of this version"),
        pytest.param(
            exited(message='{"verdict": {"metrics": {"loss": NaN}}}'), "Failed", "ReportMalformed", id="no number"
        ),
        pytest.param(exited("DeadlineExceeded", None), "Failed", "DeadlineExceeded", id="it took too long"),
        pytest.param(
            exited("Error", 1, message='{"reason": "Timeout"}'), "Failed", "Timeout", id="the verifier says why not"
        ),
        pytest.param(
            exited(message=report(0.5, metric="other", legal=False)),
            "Succeeded",
            None,
            id="a failed check needs no metric",
        ),
    ],
)
def test_report(ended: Exit, phase: str, reason: str | None) -> None:
    own = run(phase="Verifying", verifications=[scoring(phase="Running")])
    found = recorded(running(), own, workload(NAME, ended)).verifications[0]
    assert (found.phase, found.reason) == (phase, reason)


@pytest.mark.parametrize(
    ("since", "scorings"), [pytest.param(0.0, 1, id="not at once"), pytest.param(4.0, 2, id="after a pause")]
)
def test_a_failed_scoring_is_tried_again_with_another_seed(since: float, scorings: int) -> None:
    failed = scoring(None, phase="Failed", reason="Timeout", retry=2, finished_at=moment(60 - since))
    found = recorded(running(), run(phase="Verifying", verifications=[failed])).verifications
    assert len(found) == scorings
    assert len({one.seed for one in found}) == scorings


def test_a_scoring_that_vanished_is_no_failure_of_the_candidate() -> None:
    own = run(phase="Verifying", verifications=[scoring(phase="Running")])
    assert recorded(running(), own).verifications[0].infrastructure


def test_a_claim_is_never_a_value() -> None:
    assert recorded(running(), run(phase="Verifying", claimed=0.0)).value is None


def test_a_run_whose_artifact_is_lost_is_made_again() -> None:
    own = run(phase="Verifying", verifications=[scoring(0.5, 1), scoring(None, 2), scoring(None, 3)])
    gone = exited("ArtifactLost", None, infrastructure=True, log_tail="there is no folder")
    of = running(evaluation__repeats=3)
    decision = after(
        verification.record, observed(of, experiment("demo-i0001-e1", own), workload("demo-i0001-e1-r1-v2", gone))
    )
    (changed,) = decision.experiments
    again = changed.status.runs[0]
    assert (again.phase, [one.phase for one in again.attempts]) == ("Running", ["Failed", "Pending"])
    assert (again.attempts[0].reason, again.attempts[0].infrastructure) == ("ArtifactLost", True)
    assert [one.reason for one in decision.events] == ["AttemptFailed"]
    # Their names are never used again, and no value of the lost artifact is left.
    assert [(one.number, one.phase, one.metrics) for one in again.verifications] == [
        (number, "Failed", {}) for number in (1, 2, 3)
    ]
    made = again.model_copy(update={"phase": "Verifying", "attempts": [*again.attempts[:-1], attempt("Succeeded", 2)]})
    later = recorded(of, made, now=moment(600))
    assert [(one.number, one.repeat) for one in later.verifications if one.phase == "Pending"] == [
        (4, 1),
        (5, 2),
        (6, 3),
    ]


@pytest.mark.parametrize(
    ("sealed", "found", "expected"),
    [
        pytest.param(None, "a" * 64, ("Succeeded", "a" * 64), id="the first scoring seals what it judged"),
        pytest.param("a" * 64, "a" * 64, ("Succeeded", "a" * 64), id="the same bytes"),
        pytest.param("a" * 64, "b" * 64, ("Failed", "a" * 64), id="somebody has changed them"),
        pytest.param("a" * 64, None, ("Succeeded", "a" * 64), id="a shell that checks it before"),
    ],
)
def test_all_scorings_of_a_run_judge_the_same_artifact(
    sealed: str | None, found: str | None, expected: tuple[str, str]
) -> None:
    own = run(phase="Verifying", artifact_sha256=sealed, verifications=[scoring()])
    ended = exited(message=report(), artifact_sha256=found)
    scored = recorded(running(), own, workload(NAME, ended))
    first = scored.verifications[0]
    assert (first.phase, scored.artifact_sha256) == expected
    assert first.phase == "Succeeded" or (first.reason, first.metrics) == ("ArtifactChanged", {})


def test_the_seed_of_a_scoring_cannot_be_computed_without_the_key() -> None:
    of, own = running(), run(phase="Verifying")
    plain = sha256(f"{of.metadata.uid}/demo-i0001-e1/1/v/1".encode()).digest()
    (found,) = recorded(of, own).verifications
    assert found.seed != int.from_bytes(plain[:4]) & 0x7FFFFFFF
    (other,) = recorded(of, own, seed_keys=SeedKeys(b"of runs", b"another")).verifications
    assert found.seed != other.seed


def test_a_stored_intent_keeps_its_seed_when_the_key_is_another_one() -> None:
    def started(key: bytes) -> Workload:
        one = experiment("demo-i0001-e1", run(phase="Verifying", verifications=[scoring()]))
        world = observed(running(), one, seed_keys=SeedKeys(key, key))
        (start,) = [action for action in after(verification.record, world).actions if isinstance(action, Start)]
        return start.workload

    assert started(b"one") == started(b"another")
    assert started(b"one").seed == scoring().seed


WAITS = ["InputsUnavailable", "EvaluatorChanged", "PendingDeadline"]


@pytest.mark.parametrize("reason", WAITS)
def test_waiting_for_an_input_uses_up_no_limit_of_lost_scorings(reason: str) -> None:
    own = run(phase="Verifying", verifications=[scoring()])
    for number in range(1, 30):
        exit_ = exited(reason, None, infrastructure=True)
        failed = recorded(running(), own, workload(f"demo-i0001-e1-r1-v{number}", exit_), now=moment(600 * number))
        own = recorded(running(), failed, now=moment(600 * number + 300))
        assert [one.number for one in own.verifications if one.phase == "Pending"] == [number + 1]
    lost = workload("demo-i0001-e1-r1-v30", exited("Disrupted", None, infrastructure=True))
    found = recorded(running(), own, lost, now=moment(20_000))
    assert (found.phase, found.verifications[-1].retry) == ("Verifying", 1)


@pytest.mark.parametrize("reason", WAITS)
@pytest.mark.parametrize(("number", "since", "again"), [(1, 0, True), (3, 1, False), (3, 2, True), (500, 59, False)])
def test_the_pause_grows_while_an_input_is_missing(reason: str, number: int, since: float, again: bool) -> None:
    failed = scoring(
        None,
        number=number,
        repeat=1,
        phase="Failed",
        reason=reason,
        infrastructure=True,
        finished_at=moment(60 - since),
    )
    found = recorded(running(), run(phase="Verifying", verifications=[failed])).verifications
    assert (len(found) > 1 or found[0].number > number) is again

"""Accept: a problem is a condition and goes by itself; hashes are remembered once."""

from __future__ import annotations

import pytest
from tests.support.builders import GOOD, SEALED, experiment, iteration, loop, run, running
from tests.support.deciding import after, observed, status_after, the, told

from rloop.actions import Create, Start
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration, ResearchIterationStatus
from rloop.api.researchloop import ResearchLoop
from rloop.decide.campaign import seal
from rloop.decide.chain import decide
from rloop.errors import InputProblem
from rloop.observed import Obstacle
from rloop.reasons import Reason

PROBLEM = InputProblem("spec.task.path", "there is no folder")


def test_a_problem_of_the_input_is_told_in_a_condition() -> None:
    decision = after(seal.seal, observed(loop(), problems=(PROBLEM,), sealed=None))
    assert the(decision, "Accepted").status == "False"
    assert the(decision, "Accepted").message == "spec.task.path: there is no folder"


def test_nothing_else_happens_while_the_input_is_wrong() -> None:
    decision = decide(observed(loop(), problems=(PROBLEM,), sealed=None))
    assert decision.actions == ()
    assert the(decision, "Stalled").status == "True"
    assert the(decision, "Ready").status == "False"


def test_the_campaign_goes_on_by_itself_when_the_problem_is_gone() -> None:
    first = decide(observed(loop(), problems=(PROBLEM,), sealed=None)).status
    assert first is not None
    decision = after(seal.seal, observed(loop().model_copy(update={"status": first})))
    assert the(decision, "Accepted").status == "True"
    assert told(decision) == ["Accepted"]


def test_the_hashes_of_the_first_seal_are_kept() -> None:
    other = SEALED.model_copy(update={"task": "c" * 64})
    assert status_after(seal.seal, observed(running(), sealed=other)).sealed == SEALED


def child(name: str, owner: str | None, *, bare: bool) -> ResearchExperiment | ResearchIteration:
    """A child as it stands in the store: of this loop, of an earlier one, or of none."""
    made = iteration(1) if name == "demo-i0001" else experiment(name, *([] if bare else [run("baseline", "Running")]))
    if bare and isinstance(made, ResearchIteration):
        made = made.model_copy(update={"status": ResearchIterationStatus()})
    owners = [one.model_copy(update={"uid": owner}) for one in made.metadata.owner_references if owner is not None]
    return made.model_copy(update={"metadata": made.metadata.model_copy(update={"owner_references": owners})})


OURS, THEIRS = GOOD["metadata"]["uid"], "f" * 32
BASELINING = running(status={"baseline": None})


@pytest.mark.parametrize(
    ("of", "children", "expected"),
    [
        pytest.param(loop(), [], "True", id="a new loop has no children"),
        pytest.param(
            loop(),
            [child("demo-b01", OURS, bare=True)],
            "True",
            id="the operator died after it had created the baseline, and before it had written that",
        ),
        pytest.param(
            loop(), [child("demo-b01", THEIRS, bare=True)], "False", id="children of a backup, as kubectl creates them"
        ),
        pytest.param(loop(), [child("demo-i0001", THEIRS, bare=True)], "False", id="an iteration of a backup"),
        pytest.param(
            loop(), [child("demo-b01", None, bare=False)], "False", id="children with their status and without owner"
        ),
        pytest.param(
            loop(),
            [child("demo-b01", THEIRS, bare=False), child("demo-i0001-e1", THEIRS, bare=True)],
            "Unknown",
            id="children of a deleted loop that are still being deleted",
        ),
        pytest.param(
            BASELINING, [child("demo-b01", THEIRS, bare=True)], "False", id="the operator was quicker than the restore"
        ),
        pytest.param(
            BASELINING, [child("demo-b01", None, bare=False)], "True", id="restored with all statuses, in its baseline"
        ),
        pytest.param(running(), [child("demo-b01", None, bare=False)], "True", id="restored with all statuses"),
    ],
)
def test_a_backup_without_its_status_is_not_started_from_zero(
    of: ResearchLoop, children: list[ResearchExperiment | ResearchIteration], expected: str
) -> None:
    decision = decide(observed(of, *children))
    status = decision.status or of.status
    accepted = next(one for one in status.conditions if one.type == "Accepted")
    assert accepted.status == expected
    if expected != "True":
        assert not any(isinstance(one, Create | Start) for one in decision.actions)
        assert next(one for one in status.conditions if one.type == "Ready").reason == accepted.reason


def test_it_waits_for_the_status_when_the_children_are_gone() -> None:
    first = decide(observed(loop(), child("demo-b01", THEIRS, bare=True)))
    assert first.status is not None
    assert told(first) == ["RestoredWithoutStatus"]
    refused = loop().model_copy(update={"status": first.status})
    second = decide(observed(refused))
    assert second.status is None or the(second, "Accepted").reason == "RestoredWithoutStatus"
    assert not second.actions
    assert told(second) == []


def test_a_child_of_a_backup_in_the_place_of_the_first_one_is_a_sign_too() -> None:
    found = Obstacle(Reason.RESTORED_WITHOUT_STATUS, "demo-b01", "created again from a backup")
    decision = decide(observed(loop(), obstacles=(found,)))
    assert the(decision, "Accepted").reason == "RestoredWithoutStatus"
    assert not any(isinstance(one, Create | Start) for one in decision.actions)

"""Accept: a problem is a condition and goes by itself; hashes are remembered once."""

from __future__ import annotations

from tests.support.builders import SEALED, loop, running
from tests.support.deciding import after, observed, status_after, the, told

from rloop.decide import accept
from rloop.decide.chain import decide
from rloop.errors import InputProblem

PROBLEM = InputProblem("spec.task.path", "there is no folder")


def test_a_problem_of_the_input_is_told_in_a_condition() -> None:
    decision = after(accept.seal, observed(loop(), problems=(PROBLEM,), sealed=None))
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
    decision = after(accept.seal, observed(loop().model_copy(update={"status": first})))
    assert the(decision, "Accepted").status == "True"
    assert told(decision) == ["Accepted"]


def test_the_hashes_of_the_first_seal_are_kept() -> None:
    other = SEALED.model_copy(update={"task": "c" * 64})
    assert status_after(accept.seal, observed(running(), sealed=other)).sealed == SEALED

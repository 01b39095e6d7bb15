"""A finite space ends the campaign when all its points were tried, and not before."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import SEALED, baseline, done, experiment, iteration, kept, run, running, session, verdict
from tests.support.deciding import after, observed

from rloop.api.loop_status import SealedSpace
from rloop.decide.research import exhaustion
from rloop.decide.research.iteration import open_next

THREE = SealedSpace(points=3, task={"n": "1"}, extent="n 1..3")
OVER = iteration(1, session("Finished"))


def loop(space: SealedSpace | None = THREE) -> Any:
    return running(status={"sealed": SEALED.model_copy(update={"space": space})})


def tried(number: int, n: str, **fields: Any) -> Any:
    verdict_ = {"phase": "Rejected", "verdict": verdict(), **fields}
    return experiment(f"demo-i0001-e{number}", *done("screen", 1.0), point={"n": n}, **verdict_)


def withdrawn(number: int, n: str) -> Any:
    """By a pivot, before anything of it ran."""
    left: dict[str, Any] = {"phase": "Withdrawn", "verdict": verdict("PivotDemanded"), "point": {"n": n}}
    return experiment(f"demo-i0001-e{number}", run("screen", "Withdrawn"), **left)


@pytest.mark.parametrize(
    ("objects", "space", "ends"),
    [
        pytest.param([tried(1, "2"), tried(2, "3")], THREE, True, id="all were tried"),
        pytest.param([tried(1, "2")], THREE, False, id="one is left"),
        pytest.param([tried(1, "2"), withdrawn(2, "3")], THREE, False, id="one never ran"),
        pytest.param([tried(1, "2"), withdrawn(2, "3"), tried(3, "3")], THREE, True, id="one ran the second time"),
        pytest.param([tried(1, "2"), tried(2, "1")], THREE, False, id="the task's own point counts once"),
        pytest.param([tried(1, "2"), tried(2, "3")], None, False, id="a space that nobody can count"),
        pytest.param(
            [tried(1, "2"), experiment("demo-i0001-e2", point={"n": "3"})], THREE, False, id="one is not decided"
        ),
        pytest.param(
            [tried(1, "2"), kept("demo-i0001-e2", run("reference", number=10), point={"n": "3"})],
            THREE,
            False,
            id="a run of the best is open",
        ),
        pytest.param(
            [tried(1, "2"), tried(2, "3"), iteration(2, session("Running", 2))], THREE, False, id="a session works"
        ),
    ],
)
def test_the_end(objects: list[Any], space: SealedSpace | None, *, ends: bool) -> None:
    decision = after(exhaustion.end, observed(loop(space), baseline(), OVER, *objects))
    ending = decision.status.ending if decision.status is not None else None
    assert (ending is not None) is ends
    if ending is not None:
        assert ending.reason == "SpaceExhausted"
        assert "all 3 points" in ending.message
        assert "n 1..3" in ending.message


def test_no_session_is_opened_that_could_only_repeat() -> None:
    tried_all = [tried(1, "2"), experiment("demo-i0001-e2", *done("screen", 1.0), point={"n": "3"})]
    assert not after(open_next, observed(loop(), baseline(), OVER, *tried_all)).actions
    assert after(open_next, observed(loop(None), baseline(), OVER, *tried_all)).actions


def test_a_session_is_opened_for_a_point_that_never_ran() -> None:
    assert after(open_next, observed(loop(), baseline(), OVER, tried(1, "2"), withdrawn(2, "3"))).actions

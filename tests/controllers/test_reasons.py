"""Every reason to wait says who ends the wait, and Ready, Degraded and Stalled follow from it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import loop, running, workload
from tests.support.deciding import after, observed
from tests.support.kstatus import kstatus

from rloop.decide.campaign import conditions
from rloop.decide.chain import decide
from rloop.observed import Obstacle
from rloop.reasons import ACTORS, needs_person

ROOT = Path(__file__).parents[2]
PERSON = sorted(reason for reason, actor in ACTORS.items() if actor == "Person")
TIME = sorted(reason for reason, actor in ACTORS.items() if actor == "Time")


def seen(of: object, decision: object) -> str:
    """What kstatus says after the decision is written."""
    status = decision.status.model_dump(mode="json", by_alias=True, exclude_none=True)  # type: ignore[attr-defined]
    return kstatus({"metadata": {"generation": of.metadata.generation}, "status": status})  # type: ignore[attr-defined]


@pytest.mark.parametrize("reason", PERSON)
@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "not accepted"])
def test_while_a_person_must_act_the_loop_is_not_ready(reason: str, accepted: bool) -> None:
    of = running() if accepted else loop()
    facts = observed(of, obstacles=(Obstacle(reason, "demo-b01", "do this"),), sealed=of.status.sealed)
    decision = after(conditions.fold, facts)
    assert decision.status is not None
    found = {one.type: (one.status, one.reason, one.message) for one in decision.status.conditions}
    told = (reason, "demo-b01: do this")
    assert found["Ready"] == ("False", *told)
    assert found["Degraded"] == found["Stalled"] == ("True", *told)
    assert seen(of, decision) == "Failed"
    if accepted:
        assert found["Progressing"] == ("False", *told)


@pytest.mark.parametrize("reason", TIME)
def test_what_passes_by_itself_leaves_the_loop_ready(reason: str) -> None:
    of = running()
    decision = after(conditions.fold, observed(of, obstacles=(Obstacle(reason, "demo-b01", "wait"),)))
    assert decision.status is not None
    found = {one.type: (one.status, one.reason) for one in decision.status.conditions}
    assert (found["Ready"][0], found["Degraded"][0], found["Stalled"][0]) == ("True", "False", "False")
    assert found["Progressing"] == ("True", reason)
    assert seen(of, decision) == "Current"


@given(st.text("abcXYZ", min_size=1).filter(lambda reason: reason not in ACTORS))
def test_an_unknown_reason_asks_for_a_person(reason: str) -> None:
    assert needs_person(reason)


def test_beside_what_still_runs_progress_is_told_too() -> None:
    of = running()
    facts = observed(of, workload("demo-b01-r1-a1"), obstacles=(Obstacle("QuotaExceeded", "demo-b01", "raise it"),))
    found = {one.type: one.status for one in after(conditions.fold, facts).status.conditions}  # type: ignore[union-attr]
    assert (found["Ready"], found["Progressing"]) == ("False", "True")


def test_the_trouble_is_over_when_its_cause_is() -> None:
    of = running()
    blocked = decide(observed(of, obstacles=(Obstacle("QuotaExceeded", "demo-b01", "raise it"),)))
    assert blocked.status is not None
    later = of.model_copy(update={"status": blocked.status})
    decision = decide(observed(later))
    assert seen(later, decision) == "Current"


def literals() -> Iterator[tuple[str, str]]:
    """Reasons that the code gives as plain text: (reason, file)."""
    for path in [*(ROOT / "controllers").rglob("*.py"), *(ROOT / "operator").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
                continue
            first = node.args[0]
            if node.func.id in ("Blocked", "Obstacle", "_known") and isinstance(first, ast.Constant):
                yield str(first.value), path.name


def test_every_reason_in_the_code_is_in_the_table() -> None:
    found = dict(literals())
    assert "ImagePullFailed" in found
    assert {reason: file for reason, file in found.items() if reason not in ACTORS} == {}


def test_every_reason_is_documented() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert [reason for reason in ACTORS if f"`{reason}`" not in page] == []

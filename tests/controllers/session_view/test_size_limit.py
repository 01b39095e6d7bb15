"""The context of a long campaign: the essence, within its bounds, and a word on what is left out."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import moment

from rloop.api.iteration import Direction, Finding
from rloop.api.researchloop import Objective
from rloop.api.session_context import Context, HandoffView, Incumbent, SessionAllowance
from rloop.api.wire import ExperimentDetail, ExperimentView
from rloop.session_view import size_limit

ALLOWANCE: dict[str, Any] = {"max_rounds": 1, "session_seconds": 1, "max_experiments": 1, "heartbeat_seconds": 1}


def result(number: int, gain: float | None = -1.0, title: str = "t") -> ExperimentView:
    return ExperimentView(name=f"demo-i{number:04d}-e1", title=title, phase="Rejected", gain=gain)


def whole(**parts: Any) -> Context:
    return Context(
        **{
            "loop": "demo",
            "direction": "find it",
            "rules": [],
            "objective": Objective(metric="loss", goal="Minimize"),
            "editable": ["*"],
            "max_files": 5,
            "max_lines_per_file": 300,
            "session": SessionAllowance(name="demo-i0001-s1", role="Investigate", **ALLOWANCE),
            "incumbent": Incumbent(name="demo-b01"),
            **parts,
        }
    )


def directions(count: int, title: str = "t") -> list[Direction]:
    return [
        Direction(name=f"demo-d{n}", title=title, fields={}, pivot=0, session="demo-i0001-s1", at=moment(n))
        for n in range(count)
    ]


def findings(count: int, statement: str = "s") -> list[Finding]:
    return [
        Finding(name=f"demo-f{n}", statement=statement, evidence=["demo-b01"], session="demo-i0001-s1", at=moment(n))
        for n in range(count)
    ]


def test_a_short_campaign_is_told_whole() -> None:
    context = whole(results=[result(n) for n in range(10)], directions=directions(3), findings=findings(2))
    assert size_limit.bounded(context) == context


def test_near_misses_stay_when_newer_ones_come() -> None:
    near = [result(3, gain=0.5), result(7, gain=0.4)]
    others = [result(n, gain=None if n % 2 else -1.0) for n in range(1, 200) if n not in (3, 7)]
    ordered = sorted([*near, *others], key=lambda one: one.name)
    kept = size_limit.bounded(whole(results=ordered))
    found = [one.name for one in kept.results]
    assert len(found) == size_limit.RESULTS_MAX
    assert found == sorted(found)
    assert {one.name for one in near} < set(found)
    assert found[-40:] == [one.name for one in ordered[-40:]]
    assert kept.left_out == ["139 of 199 results: GET experiments lists all"]


def test_what_is_left_out_of_each_list_is_told() -> None:
    told = size_limit.bounded(whole(directions=directions(100), findings=findings(50)))
    assert (len(told.directions), told.directions[-1].name) == (60, "demo-d99")
    assert (len(told.findings), told.findings[-1].name) == (40, "demo-f49")
    assert told.left_out == ["40 of 100 directions: admission compares with all of them", "10 of 50 findings"]


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({"incumbent": Incumbent(name="demo-b01", files={"a": "x" * 500_000, "b": "y"})}, id="files"),
        pytest.param({"incumbent": Incumbent(name="demo-b01", files={"a": "ü" * 200_000, "b": "y"})}, id="wide files"),
        pytest.param({"results": [result(n, title="w" * 1024) for n in range(300)]}, id="results"),
        pytest.param({"findings": findings(100, "w" * 16_000)}, id="findings"),
        pytest.param({"directions": directions(500, "w" * 1024)}, id="directions"),
        pytest.param(
            {
                "handoff": HandoffView(session="demo-i0001-s1", text="go on", drafts={"d.py": "z" * 65_536}),
                "incumbent": Incumbent(name="demo-b01", files={f"f{n}": "x" * 5000 for n in range(100)}),
                "results": [result(n, title="w" * 1024) for n in range(300)],
                "findings": findings(100, "w" * 16_000),
                "directions": directions(500, "w" * 1024),
                "failures": [
                    ExperimentDetail(name=f"demo-i{n:04d}-e1", title="t", phase="Failed", log_tail="\x01" * 4096)
                    for n in range(3)
                ],
            },
            id="everything at once",
        ),
    ],
)
def test_it_fits_and_says_what_is_missing(parts: dict[str, Any]) -> None:
    told = size_limit.bounded(whole(**parts))
    assert len(told.model_dump_json(by_alias=True).encode()) < size_limit.CONTEXT_BYTES + 4096
    assert told.left_out
    assert told.direction == "find it"


def test_the_smaller_files_of_the_incumbent_stay_and_the_larger_are_named() -> None:
    told = size_limit.bounded(whole(incumbent=Incumbent(name="demo-b01", files={"big.py": "x" * 500_000, "b": "y"})))
    assert told.incumbent.files == {"b": "y"}
    assert told.left_out == ["big.py of the incumbent: GET experiments/demo-b01 has all"]

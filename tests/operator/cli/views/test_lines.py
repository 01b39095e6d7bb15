"""The texts of single lines of progress."""

from typing import Any

import pytest
from tests.operator.cli.conftest import STATUS, experiment, objects, run
from tests.operator.cli.views.test_story import seen

from rloop.api.iteration import ResearchIteration
from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.cli.views import lines
from rloop_operator.cli.views.story import snapshot_of

HEAD = "the unchanged task cannot be measured: run 1: Error, exit code 1. Last output: "
CAUSE = "ModuleNotFoundError: No module named 'torchy'"


def snapshot(**status: Any) -> Snapshot:
    found = snapshot_of(seen())
    loop = found.loop.changed(status=type(found.loop.status).model_validate(STATUS | status))
    return Snapshot(loop, {}, {}, found.now)


@pytest.mark.parametrize(
    ("output", "told"),
    [
        pytest.param(f"two lines\n{CAUSE}", f"{HEAD}two lines {CAUSE}", id="short"),
        pytest.param(f"{'loading weights; ' * 30}\n{CAUSE}\n", f"{HEAD}{CAUSE}", id="earlier lines go first"),
        pytest.param(
            f"loading\n{CAUSE}{'y' * 200}",
            f"the unchanged task cannot be measured: {CAUSE}{'y' * 200}",
            id="then how the run ended",
        ),
    ],
)
def test_the_cause_of_a_failure_is_cut_last(output: str, told: str) -> None:
    assert lines.failed(f"{HEAD}{output}", "demo") == told


def test_a_cause_without_end_is_cut_all_the_same() -> None:
    told = lines.failed(f"{HEAD}{'y' * 600}", "demo")
    assert len(told) == lines.FAILURE_MAX
    assert told.endswith("y…")


def iteration(*phases: str, phase: str = "Open") -> dict[str, ResearchIteration]:
    (_, second) = objects()[0]
    sessions = [{"name": f"demo-i0002-s{number}", "phase": one} for number, one in enumerate(phases, start=1)]
    found = second.model_dump(by_alias=True, mode="json")
    found["status"] = {"phase": phase, "sessions": sessions}
    return {"demo-i0002": ResearchIteration.model_validate(found)}


@pytest.mark.parametrize(
    ("sessions", "running", "told"),
    [
        pytest.param([], 0, "nothing is in progress; the same command continues", id="nothing"),
        pytest.param(
            ["Running"],
            0,
            "the agent's session ends; the same command continues with a new session; press Ctrl-C again to stop "
            "everything now",
            id="a session",
        ),
        pytest.param(
            ["Running", "Finished", "Pending"],
            1,
            "the agents' sessions end, and the run in progress continues in the background; the same command "
            "continues with it and new sessions; press Ctrl-C again to stop everything now",
            id="sessions and a run",
        ),
    ],
)
def test_an_interrupt_names_what_is_in_progress(sessions: list[str], running: int, told: str) -> None:
    runs = [run(number, "screen", None, "Running") for number in range(1, running + 1)]
    one = experiment("demo-i0002-e1", 2, {"phase": "Running", "runs": runs})
    now = snapshot()
    found = Snapshot(now.loop, iteration(*sessions), {"demo-i0002-e1": one}, now.now)
    assert lines.stopping(found) == f"ending; {told}"


def test_an_interrupted_baseline_has_no_session() -> None:
    runs = [run(number, "baseline", None, "Running") for number in (1, 2)]
    baseline = experiment("demo-b01", 0, {"phase": "Running", "runs": runs})
    now = snapshot(baseline=None, best=None)
    found = Snapshot(now.loop, {}, {"demo-b01": baseline}, now.now)
    assert lines.stopping(found) == (
        "ending; the runs of the baseline continue in the background; the same command continues with them; press "
        "Ctrl-C again to stop everything now"
    )


@pytest.mark.parametrize(
    ("outcome", "session", "loop", "told"),
    [
        ("Stale", {}, {}, "stale"),
        ("Neutral", {"reason": "PivotDemanded"}, {}, "neutral (a pivot ended it)"),
        ("Neutral", {"reason": "Held"}, {}, "neutral (it was interrupted)"),
        ("Neutral", {"reason": "Completed"}, {"generation": 3, "pivots": 2}, "neutral (a pivot came first)"),
        ("Neutral", {"reason": "Completed"}, {"generation": 3}, "neutral (a keep came first)"),
        ("Neutral", {"reason": "Completed"}, {"generation": 2}, "neutral (the campaign ended)"),
        ("Void", {"phase": "Failed", "reason": "NothingDone"}, {}, "void (NothingDone)"),
    ],
)
def test_an_iteration_that_is_not_stale_says_why(
    outcome: str, session: dict[str, Any], loop: dict[str, Any], told: str
) -> None:
    found = iteration("Finished", phase="Settled")["demo-i0002"].model_dump(by_alias=True, mode="json")
    found["spec"] |= {"generation": 2, "pivots": 1}
    found["status"] |= {"outcome": outcome}
    found["status"]["sessions"][0] |= session
    line = lines.settled(ResearchIteration.model_validate(found), snapshot(**loop))
    assert line.startswith(f"i0002 settles, {told}; 0 experiments; ")

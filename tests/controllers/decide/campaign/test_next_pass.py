"""Each state in which a campaign waits, and when it is looked at again: no deadline without an alarm clock."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from tests.support.builders import (
    LLM,
    attempt,
    baseline,
    condition,
    experiment,
    iteration,
    kept,
    loop,
    moment,
    run,
    running,
    scoring,
    session,
    usage,
    workload,
)
from tests.support.deciding import observed

from rloop.api.experiment import Attempt, ResearchExperiment, Run
from rloop.api.iteration import Reported, ResearchIteration, SessionStatus
from rloop.api.loop_status import Clock, Ending
from rloop.api.researchloop import ResearchLoop
from rloop.decide import chain
from rloop.decide.chain import decide, hindered
from rloop.errors import InputProblem
from rloop.observed import Beat, Observed, Obstacle, WorkloadState
from rloop.reasons import Reason

DECIDE = Path(chain.__file__).parent
RUN = "demo-i0001-e1-r1-a1"
SCORING = "demo-i0001-e1-r1-v1"
AGENT = "demo-i0001-s1-a1"
SESSION = "demo-i0001-s1"
WATCH: dict[str, Any] = {"watchdog__heartbeatSeconds": 10, "watchdog__progressSeconds": 30}
QUOTA = Obstacle(Reason.QUOTA_EXCEEDED, RUN, "raise the quota")


def a_run(*attempts: Attempt) -> ResearchExperiment:
    return experiment("demo-i0001-e1", run("screen", "Running", attempts=[*attempts]), phase="Running")


def a_scored_run(**fields: Any) -> ResearchExperiment:
    own: Run = run("screen", "Verifying", verifications=[scoring(**fields)])
    return experiment("demo-i0001-e1", own, phase="Running")


def at_work(one: SessionStatus | None = None, **reported: Any) -> ResearchIteration:
    return iteration(1, one or session(started_at=moment()), reported=Reported(**reported))


def waits(name: str, seconds: float, **fields: Any) -> WorkloadState:
    """One that has not begun, made so long ago."""
    return WorkloadState(name, moment(60 - seconds), started=False, **fields)


def began(name: str, seconds: float, **fields: Any) -> WorkloadState:
    """One whose program began so long ago."""
    return WorkloadState(name, moment(60 - seconds), **fields)


def lost(number: int, seconds: float, **fields: Any) -> Attempt:
    """An attempt that was lost so long ago."""
    ended = {"finished_at": moment(60 - seconds), "reason": "Lost", "infrastructure": True}
    return attempt("Failed", number, **{**ended, **fields})


def beating(age: float, round_age: float) -> dict[str, Any]:
    return {"beats": {SESSION: Beat(age, 1, round_age)}}


def seen(of: ResearchLoop, *objects: Any, **fields: Any) -> Observed:
    return observed(of, baseline(), *objects, **fields)


BY_MODEL: dict[str, Any] = {"agent__policy": None, **{f"agent__{key}": one for key, one in LLM.items()}}
DEGRADED: dict[str, Any] = {"conditions": [condition("Accepted"), condition("Degraded", reason="QuotaExceeded")]}
OVER = [condition("Accepted"), condition("Complete", reason="TargetMet")]
MISSING = InputProblem("spec.task.configMap.name", "create it")
TIMES = {"now", "age_seconds", "round_age_seconds", "step_age_seconds"}
LIVE = at_work()
BEATS = beating(1, 1)
CASES = [
    # Runs
    pytest.param(seen(running(), a_run(attempt("Running")), began(RUN, 50)), 25, id="a run's deadline, and its slack"),
    pytest.param(
        seen(
            running(experiment__progressDeadlineSeconds=12),
            a_run(attempt("Running")),
            began(RUN, 20, step_age_seconds=5),
        ),
        7,
        id="a run's next step",
    ),
    pytest.param(
        seen(running(experiment__pendingDeadlineSeconds=60), a_run(attempt()), waits(RUN, 58)),
        2,
        id="a place for a run, no longer than pendingDeadlineSeconds",
    ),
    pytest.param(
        seen(running(), a_run(attempt()), waits(RUN, 10)), 5, id="a place for a run: who says why, nobody watches"
    ),
    pytest.param(
        seen(running(), a_run(attempt()), waits(RUN, 300)), 30, id="less often, the longer it has waited already"
    ),
    pytest.param(
        seen(running(), a_run(attempt("Running")), began(RUN, 20, ending=True)),
        5,
        id="the result of a run whose program has ended",
    ),
    pytest.param(
        seen(running(), a_run(lost(1, 300), lost(2, 300), lost(3, 1), attempt(number=4))),
        3,
        id="the pause after three lost attempts",
    ),
    # Scorings
    pytest.param(
        seen(running(), a_scored_run(phase="Running"), began(SCORING, 635)),
        10,
        id="a scoring's deadline, and its slack",
    ),
    pytest.param(
        seen(
            running(),
            a_scored_run(phase="Failed", retry=3, finished_at=moment(58), reason="Lost", infrastructure=True),
        ),
        2,
        id="the pause after a failed scoring",
    ),
    # Sessions
    pytest.param(seen(running(**WATCH), LIVE, workload(AGENT), **beating(22, 1)), 8, id="a session's missed beats"),
    pytest.param(seen(running(**WATCH), LIVE, workload(AGENT), **beating(1, 21)), 9, id="a session's next round"),
    pytest.param(
        seen(running(**WATCH), at_work(session(nudges=1)), workload(AGENT), **beating(1, 51)),
        9,
        id="a round after a nudge",
    ),
    pytest.param(
        seen(running(), at_work(session(started_at=moment(), done_at=moment(44)), finished=[SESSION]), workload(AGENT)),
        4,
        id="the end of a session that said it is done",
    ),
    pytest.param(seen(running(), LIVE, began(AGENT, 95), **BEATS), 10, id="a session's deadline, grace and slack"),
    pytest.param(
        seen(running(), at_work(session("Pending", attempt=3, died_at=moment(59)))),
        1,
        id="the pause before a dead session's replacement",
    ),
    pytest.param(
        seen(running(), iteration(1, outcome="Void", settled_at=moment(59.5))),
        0.5,
        id="the pause after an iteration that came to nothing",
    ),
    # The campaign
    pytest.param(
        seen(
            running(budget__activeSeconds=100, status={"clock": Clock(accumulated_seconds=20, active_since=moment(0))}),
            LIVE,
            workload(AGENT),
            **BEATS,
        ),
        20,
        id="the end of budget.activeSeconds",
    ),
    pytest.param(
        seen(
            running(**BY_MODEL, budget__tokens=10),
            iteration(
                1,
                session("Finished", finished_at=moment(50)),
                outcome="Stale",
                reported=Reported(usage=[usage(input_tokens=5, held_tokens=5)]),
            ),
        ),
        20,
        id="tokens that the proxy may give back",
    ),
    pytest.param(
        seen(
            running(
                **BY_MODEL,
                agent__sessionSeconds=60,
                experiment__pendingDeadlineSeconds=60,
                status={
                    "ending": Ending(reason="TargetMet", message="it is"),
                    "clock": Clock(accumulated_seconds=173, active_since=moment(0)),
                },
            ),
            kept(),
            LIVE,
            workload(AGENT),
        ),
        7,
        id="the end of the time for the report",
    ),
    pytest.param(
        seen(running(), a_run(attempt("Running")), began(RUN, 1000)), 5, id="the end of what was asked to end"
    ),
    # What others must put right
    pytest.param(seen(running(), LIVE, workload(AGENT), obstacles=(QUOTA,), **BEATS), 5, id="a quota"),
    pytest.param(
        seen(running(status=DEGRADED), LIVE, began(AGENT, -140), obstacles=(QUOTA,), now=moment(200), **BEATS),
        20,
        id="a quota, less often the longer it has lasted",
    ),
    pytest.param(
        seen(running(status=DEGRADED), LIVE, began(AGENT, -9000), obstacles=(QUOTA,), now=moment(9000), **BEATS),
        60,
        id="but at least once a minute",
    ),
    pytest.param(seen(loop(), problems=(MISSING,), sealed=None), 5, id="a missing ConfigMap"),
    pytest.param(seen(loop(suspend=True), problems=(MISSING,), sealed=None), 5, id="also of a suspended loop"),
    # Nothing
    pytest.param(seen(running(), LIVE, workload(AGENT), **BEATS), 45, id="a session that is at work"),
    pytest.param(
        seen(running(experiment__activeDeadlineSeconds=600), a_run(attempt("Running")), began(RUN, 0)),
        60,
        id="a lost event",
    ),
    pytest.param(seen(running(suspend=True), iteration(1, outcome="Void")), None, id="suspended"),
    pytest.param(seen(running(suspend=True), a_run(lost(1, 1), attempt(number=2))), None, id="suspended in mid-run"),
    pytest.param(seen(running(suspend=True), at_work(session("Pending"))), None, id="suspended before a session"),
    pytest.param(
        seen(running(suspend=True), a_run(attempt("Running")), began(RUN, 50)), 25, id="suspended, and a run finishes"
    ),
    pytest.param(
        seen(running(suspend=True, budget__activeSeconds=100, status={"clock": Clock(accumulated_seconds=20)})),
        None,
        id="suspended: its clock stands still",
    ),
    pytest.param(seen(running(status={"conditions": OVER})), None, id="finished"),
    pytest.param(seen(running(status={"conditions": OVER}), workload(AGENT)), 5, id="finished, and something runs on"),
]


@pytest.mark.parametrize(("world", "seconds"), CASES)
def test_when_a_waiting_campaign_is_looked_at_again(world: Observed, seconds: float | None) -> None:
    assert decide(world).look_again == seconds


def test_what_could_not_be_carried_out_is_tried_again_soon() -> None:
    assert hindered(seen(running(), obstacles=(QUOTA,))).look_again == 5


def test_no_decision_compares_with_the_clock_by_itself() -> None:
    """Whoever does must use `Draft.passed` or `Draft.older`, or its deadline would have no alarm clock."""
    found = []
    for path in sorted(DECIDE.rglob("*.py")):
        if path.name == "draft.py":
            continue
        found += [
            f"{path.name}:{node.lineno}: {ast.unparse(node)}"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Compare) and any(_tells_time(one) for one in ast.walk(node))
        ]
    assert found == []


def _tells_time(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return ast.unparse(node.func).endswith("active_seconds")
    return isinstance(node, ast.Attribute) and node.attr in TIMES

"""Which queued runs start now."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import baseline, done, experiment, kept, run, running
from tests.support.deciding import after, observed

from rloop.api.experiment import ResearchExperiment
from rloop.decide.work import schedule

SCREEN = experiment("demo-i0001-e1", run())
LATER = experiment("demo-i0001-e2", run())
CONFIRM = experiment("demo-i0001-e3", *done("screen", 0.5), run("confirm", number=2), phase="Running")
REFERENCE = baseline(run("reference"))


@pytest.mark.parametrize(
    ("spec", "seen", "objects", "expected"),
    [
        pytest.param({}, {}, [LATER, SCREEN], ["demo-i0001-e1"], id="first proposed, first started"),
        pytest.param({}, {}, [SCREEN, CONFIRM], ["demo-i0001-e3"], id="confirmations come before new screens"),
        pytest.param({}, {}, [SCREEN, REFERENCE], ["demo-b01"], id="so do runs of the incumbent"),
        pytest.param(
            {"parallelism": 2}, {}, [SCREEN, LATER, CONFIRM], ["demo-i0001-e1", "demo-i0001-e3"], id="two slots"
        ),
        pytest.param(
            {},
            {},
            [SCREEN, experiment("demo-i0001-e9", run(phase="Verifying"))],
            [],
            id="a run holds its slot until it is scored",
        ),
        pytest.param({"suspend": True}, {}, [SCREEN], [], id="nothing starts while suspended"),
        pytest.param({}, {"draining": True}, [SCREEN], [], id="nothing starts while the operator ends"),
        pytest.param({"budget__runs": 0}, {}, [SCREEN], [], id="nothing starts that the budget cannot pay"),
        pytest.param({"budget__runs": 1, "parallelism": 4}, {}, [SCREEN, LATER], ["demo-i0001-e1"], id="the last run"),
        pytest.param(
            {"parallelism": 4},
            {},
            [SCREEN, CONFIRM, kept("demo-i0000-e1", run("final"))],
            ["demo-i0000-e1"],
            id="while the incumbent concludes nothing else starts",
        ),
    ],
)
def test_schedule(
    spec: dict[str, Any], seen: dict[str, Any], objects: list[ResearchExperiment], expected: list[str]
) -> None:
    decision = after(schedule.schedule, observed(running(**spec), *objects, **seen))
    assert sorted(one.metadata.name for one in decision.experiments) == expected
    for one in decision.experiments:
        (started,) = (own for own in one.status.runs if own.phase == "Running")
        assert started.reservation is not None
        assert [a.phase for a in started.attempts] == ["Pending"]
        assert one.status.phase != "Queued"


def test_what_starts_together_with_others_is_paid_together() -> None:
    of = running(parallelism=4, budget__cpuSeconds=25, experiment__cpuSeconds=10)
    many = [experiment(f"demo-i0001-e{n}", run()) for n in range(1, 5)]
    assert len(after(schedule.schedule, observed(of, *many)).experiments) == 2

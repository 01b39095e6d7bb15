"""The conclusion: fresh runs of the incumbent decide, and a miss is not the end."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import NOW, baseline, done, kept, run, running
from tests.support.deciding import after, experiment_after, observed, status_after, told

from rloop.api.experiment import MAX_RUNS, ResearchExperiment
from rloop.api.loop_status import Best, Final
from rloop.decide.research import conclusion


def best(experiment: str, value: float, **fields: Any) -> dict[str, Any]:
    return {
        "best": Best(experiment=experiment, value=value, low=value, high=value, gain=0, n=9, verified_at=NOW, **fields)
    }


@pytest.mark.parametrize(
    ("spec", "value", "asked"),
    [
        pytest.param({"objective__target": "0.6"}, 0.5, 5, id="a lower value meets the target of Minimize"),
        pytest.param({"objective__target": "0.4"}, 0.5, 0, id="a higher one does not"),
        pytest.param({"objective__target": "0.4", "objective__goal": "Maximize"}, 0.5, 5, id="for Maximize it does"),
        pytest.param({"objective__target": None}, 0.5, 0, id="without a target there is nothing to conclude"),
    ],
)
def test_an_incumbent_that_meets_the_target_gets_fresh_runs(spec: dict[str, Any], value: float, asked: int) -> None:
    seen = observed(running(status=best("demo-i0001-e1", value), **spec), baseline(), kept())
    found = experiment_after(conclusion.conclude, seen).status.runs
    assert [one.phase for one in found if one.kind == "final"] == ["Queued"] * asked


def test_an_unconfirmed_incumbent_never_meets_the_target() -> None:
    status = best("demo-i0001-e1", -200.0, unconfirmed=True)
    assert after(conclusion.conclude, observed(running(status=status), baseline(), kept())).experiments == ()


def test_an_incumbent_that_spent_most_of_its_runs_concludes_with_what_is_left() -> None:
    own = kept("demo-i0001-e1", *done("reference", *[0.5] * (MAX_RUNS - 13)))
    seen = observed(running(status=best("demo-i0001-e1", -200.0)), baseline(), own)
    assert len(experiment_after(conclusion.conclude, seen).status.runs) == MAX_RUNS


MET, MISSED = [-200.0] * 5, [0.0] * 5


@pytest.mark.parametrize(
    ("own", "misses", "reason", "final"),
    [
        pytest.param(kept("demo-i0001-e1", *done("final", *MET)), 0, "TargetMet", True, id="fresh runs confirm it"),
        pytest.param(baseline(*done("final", *MET)), 0, "TargetMetByBaseline", True, id="the unchanged task meets it"),
        pytest.param(kept("demo-i0001-e1", *done("final", *MISSED)), 0, None, False, id="after one miss it goes on"),
        pytest.param(
            kept("demo-i0001-e1", *done("final", *MISSED)), 1, "TargetNotConfirmed", False, id="the second is the last"
        ),
        pytest.param(
            kept("demo-i0001-e1", *done("final", *MET[:4]), run("final", "Failed")),
            0,
            None,
            False,
            id="a final run that failed is a miss",
        ),
        pytest.param(
            kept("demo-i0001-e1", *[run("final", "Failed")] * 5),
            0,
            "TargetNotConfirmed",
            None,
            id="no final run could be scored",
        ),
    ],
)
def test_conclusion(own: ResearchExperiment, misses: int, reason: str | None, final: bool | None) -> None:
    of = running(status={**best(own.metadata.name, -200.0), "misses": misses})
    objects = [own] if own.spec.kind == "Baseline" else [baseline(), own]
    decision = after(conclusion.conclude, observed(of, *objects))
    status = decision.status or of.status
    assert (status.final.met if status.final else None) is final
    assert (status.ending.reason if status.ending else None) == reason
    assert len(told(decision)) == 1


def test_a_recorded_miss_is_not_counted_twice() -> None:
    missed = Final(experiment="demo-i0001-e1", value=0, low=0, high=0, n=5, gap=0, met=False)
    of = running(status={**best("demo-i0001-e1", -200.0), "final": missed, "misses": 1})
    own = kept("demo-i0001-e1", *done("final", *MISSED))
    assert after(conclusion.conclude, observed(of, baseline(), own)).status is None


def test_while_a_final_run_is_open_nothing_is_concluded() -> None:
    own = kept("demo-i0001-e1", *done("final", *MET[:4]), run("final", "Running"))
    of = running(status=best("demo-i0001-e1", -200.0))
    assert status_after(conclusion.conclude, observed(of, baseline(), own)).final is None


def test_the_gap_between_development_and_final_value_is_reported() -> None:
    of = running(status=best("demo-i0001-e1", -150.0))
    decision = after(conclusion.conclude, observed(of, baseline(), kept("demo-i0001-e1", *done("final", *MET))))
    assert decision.status is not None
    assert decision.status.final is not None
    assert decision.status.final.gap == -50.0
    assert decision.status.ending is not None


@pytest.mark.parametrize("scored", [0, 3])
def test_a_final_run_that_was_withdrawn_is_made_and_no_miss(scored: int) -> None:
    own = kept("demo-i0001-e1", *done("final", *MET[:scored]), *[run("final", "Withdrawn")] * (5 - scored))
    decision = after(conclusion.conclude, observed(running(status=best("demo-i0001-e1", -200.0)), baseline(), own))
    assert decision.status is None, "nothing is concluded"
    asked = [one.phase for one in decision.experiments[0].status.runs if one.kind == "final"]
    assert (asked.count("Done"), asked.count("Queued")) == (scored, 5 - scored)

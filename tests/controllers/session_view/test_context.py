"""What a fresh session sees: enough, and nothing that lets it climb the noise."""

from __future__ import annotations

from dataclasses import replace
from statistics import stdev
from typing import Any

import pytest
from tests.support.builders import (
    baseline,
    direction,
    done,
    experiment,
    iteration,
    kept,
    run,
    running,
    session,
    verdict,
)

from rloop.api.agent import Agent, LlmAgent, PolicyAgent
from rloop.api.helpers import curves_of
from rloop.api.iteration import Handoff, Reported
from rloop.api.loop_status import Ending, Final
from rloop.api.workload import EnvVar, PyTorchJob
from rloop.campaign_state import Situation
from rloop.session_view import context

ROLES = ("Investigate", "Refute")


def situation(*objects: Any, status: dict[str, Any] | None = None, reported: Reported | None = None) -> Situation:
    own = iteration(1, session(), reported=reported)
    return Situation(
        loop=running(status=status),
        iteration=own,
        session=own.spec.sessions[0],
        iterations={"demo-i0001": own},
        experiments={one.metadata.name: one for one in objects},
    )


def built(*objects: Any, **given: Any) -> Any:
    return context.build(situation(*objects, **given), space=None, incumbent_files={"recipe.json": "{}"})


def test_values_are_rounded_to_half_a_unit_of_noise() -> None:
    unit = context.noise_unit(kept())
    assert unit == pytest.approx(stdev([0.005 * n for n in range(-4, 5)]))
    seen = context.view(experiment("demo-i0001-e1", *done("screen", 0.51234567)), unit)
    assert seen.value is not None
    assert seen.value / (unit / 2) == pytest.approx(round(seen.value / (unit / 2)))


def test_a_detail_shows_the_curves_of_each_run_that_has_some() -> None:
    curves = curves_of({"loss": [(0, 1.0), (10, 0.5)]})
    own = experiment("demo-i0001-e1", run(phase="Done", value=0.5, curves=curves), run("confirm", number=2))
    (found,) = context.detail(own, 0.0, {}, "").curves
    assert (found.run, found.kind, found.curves[0].steps, found.curves[0].values) == (1, "screen", [0, 10], [1.0, 0.5])


def test_evidence_tells_a_screening_run_from_those_after_it() -> None:
    """A screen is picked for its luck; the final ones are nobody's business before the conclusion."""
    own = experiment("demo-i0001-e1", *done("screen", 2.0), *done("confirm", 1.0, 3.0, first=2), *done("final", 9.0))
    assert context.evidence(own, 0.0).values == {"screen": [2.0], "confirm": [1.0, 3.0]}


@pytest.mark.parametrize("role", ["Report", "Check"])
def test_the_conclusion_is_told_when_nobody_explores_any_more(role: Any) -> None:
    found = Final(experiment="demo-i0001-e1", value=0.5, low=0.4, high=0.6, n=5, gap=0.0, met=True)
    for ending, expected in ((None, None), (Ending(reason="TargetMet", message="it is"), found)):
        seen = situation(baseline(), status={"final": found, "ending": ending})
        asks = seen.session.model_copy(update={"role": role})
        told = context.build(replace(seen, session=asks), space=None, incumbent_files={})
        assert told.final == expected


@pytest.mark.parametrize(
    ("role", "expected"),
    [("Investigate", "of the first"), ("Refute", "of the second"), ("Analogy", "of the second")],
)
def test_a_session_gets_what_the_newest_of_its_role_left(role: Any, expected: str) -> None:
    first, second = session("Finished"), session("Finished", index=2)
    left = [Handoff(session=first.name, text="of the first"), Handoff(session=second.name, text="of the second")]
    before = iteration(1, first, second, reported=Reported(handoffs=left))
    roles = [one.model_copy(update={"role": own}) for one, own in zip(before.spec.sessions, ROLES, strict=True)]
    before = before.model_copy(update={"spec": before.spec.model_copy(update={"sessions": roles})})
    now = iteration(2, session(number=2))
    seen = Situation(
        loop=running(),
        iteration=now,
        session=now.spec.sessions[0].model_copy(update={"role": role}),
        iterations={"demo-i0001": before, "demo-i0002": now},
        experiments={},
    )
    found = context.build(seen, space=None, incumbent_files={}).handoff
    assert found is not None
    assert found.text == expected


def test_the_value_of_a_keep_does_not_show_its_lucky_screen() -> None:
    seen = context.view(kept(), 0.0)
    assert seen.value == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("pivots", "directions", "demand"),
    [
        pytest.param(0, [], None, id="no pivot was demanded"),
        pytest.param(1, [direction()], "Pivot", id="the demand is open"),
        pytest.param(1, [direction("demo-i0001-d2", pivot=1)], None, id="it was answered"),
    ],
)
def test_demand(pivots: int, directions: list[Any], demand: str | None) -> None:
    assert built(baseline(), status={"pivots": pivots}, reported=Reported(directions=directions)).demand == demand


def test_a_replaced_session_goes_on_with_the_next_number() -> None:
    assert built(baseline()).session.next_sequence == 1
    assert built(baseline(), experiment("demo-i0001-e2", run())).session.next_sequence == 3


def test_the_incumbent_comes_with_its_files() -> None:
    seen = built(baseline(), kept())
    assert (seen.incumbent.name, seen.incumbent.files) == ("demo-i0001-e1", {"recipe.json": "{}"})


def test_large_files_of_the_incumbent_are_no_error() -> None:
    big = {"train.py": "x" * 100_000}
    assert context.build(situation(baseline()), space=None, incumbent_files=big).incumbent.files == big


def test_discards_failures_and_the_last_handoff_are_told() -> None:
    failed = [experiment(f"demo-i0001-e{n}", phase="Failed", verdict=verdict("Error")) for n in range(1, 6)]
    reported = Reported(handoffs=[Handoff(session="demo-i0001-s1", text="try more")])
    seen = built(baseline(), *failed, reported=reported)
    assert [one.name for one in seen.failures] == ["demo-i0001-e3", "demo-i0001-e4", "demo-i0001-e5"]
    assert len(seen.results) == 5
    assert seen.handoff is not None
    assert seen.handoff.text == "try more"


def test_a_session_knows_how_a_run_is_started() -> None:
    seen = situation(baseline())
    found = context.build(seen, space=None, incumbent_files={})
    template = seen.loop.spec.experiment
    assert found.run is not None
    assert (found.run.command, found.run.seconds) == (template.command, template.active_deadline_seconds)
    own = template.model_copy(update={"env": [EnvVar(name="OWN", value="1")]})
    assert built_with(seen, experiment=own).run.env == {"OWN": "1"}
    ranks = template.model_copy(update={"job": None, "py_torch_job": PyTorchJob(replicas=2)})
    assert built_with(seen, experiment=ranks).run is None, "one process is no run of several"


def test_a_session_knows_how_its_model_calls_tools() -> None:
    seen = situation(baseline())
    assert built_with(seen).session.tool_calls == "Auto"
    small = Agent(llm=LlmAgent(provider="main", model="small", tool_calls="Text"))
    assert built_with(seen, agent=small).session.tool_calls == "Text"


def test_a_policy_beside_a_model_is_told_to_the_session() -> None:
    seen, tpe = situation(baseline()), PolicyAgent(name="tpe", seed=4)
    model = LlmAgent(provider="main", model="small")
    assert built_with(seen, agent=Agent(llm=model, policy=tpe)).session.policy == tpe
    assert built_with(seen, agent=Agent(llm=model)).session.policy is None
    assert built_with(seen, agent=Agent(policy=tpe)).session.policy is None, "it is the agent itself"


def built_with(seen: Situation, **spec: Any) -> Any:
    loop = seen.loop.model_copy(update={"spec": seen.loop.spec.model_copy(update=spec)})
    return context.build(replace(seen, loop=loop), space=None, incumbent_files={})

"""The context of a fresh session: the part of the recorded state that it needs.

Built by the gateway for every GET context. Verified values are rounded to half a noise unit (the Ladder rule, Blum &
Hardt 2015), so that an agent cannot climb the noise of the held-out data.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rloop import names
from rloop.api.experiment import TERMINAL_PHASES, ResearchExperiment
from rloop.api.iteration import Handoff
from rloop.api.loop_status import Final
from rloop.api.researchloop import ResearchLoop
from rloop.api.session_context import Context, HandoffView, Incumbent, RunView, SessionAllowance
from rloop.api.space import Space
from rloop.api.wire import (
    Claim,
    Evidence,
    ExperimentDetail,
    ExperimentView,
    RunCurves,
)
from rloop.campaign_state import Situation
from rloop.decide.queries import runs
from rloop.decide.statistics.estimates import noise, rounded, without_outliers
from rloop.session_view import visibility, waits
from rloop.session_view.size_limit import bounded

FAILURES_MAX = 3
NOT_SHOWN = frozenset({"EvaluationFailed"})
"""Reasons whose message contains the scorer's own output, which may quote held-out data."""


def noise_unit(incumbent: ResearchExperiment | None) -> float:
    """Standard deviation between the incumbent's runs, in the metric's unit; 0 while it is unknown."""
    found = runs.incumbent_values(incumbent) if incumbent is not None else ()
    return noise(without_outliers(found), ())[0]


def view(experiment: ResearchExperiment, unit: float, blocked: str = "") -> ExperimentView:
    """An experiment as agents may see it. `blocked` applies to those without a verdict (`waits.blocked`)."""
    return ExperimentView(**_fields(experiment, unit, blocked))


def detail(
    experiment: ResearchExperiment, unit: float, files: Mapping[str, str], difference: str, blocked: str = ""
) -> ExperimentDetail:
    """`view` plus the files, the difference from the task and the log tail of the newest attempt that has one."""
    attempts = [attempt for run in experiment.status.runs for attempt in run.attempts]
    tail = next((one.log_tail for one in reversed(attempts) if one.log_tail), "")
    return ExperimentDetail(
        **_fields(experiment, unit, blocked),
        files=dict(files),
        difference=difference[:65536],
        log_tail=tail,
        curves=[
            RunCurves(run=run.number, kind=run.kind, curves=run.curves) for run in experiment.status.runs if run.curves
        ],
    )


def _fields(experiment: ResearchExperiment, unit: float, blocked: str = "") -> dict[str, Any]:
    verdict = experiment.status.verdict
    found = runs.incumbent_values(experiment)
    behind = runs.incumbent_runs(experiment)
    claims = [run.claimed for run in experiment.status.runs if run.number in behind and run.claimed is not None]
    return {
        "name": experiment.metadata.name,
        "title": experiment.spec.title,
        "phase": experiment.status.phase,
        "reason": verdict.reason if verdict else None,
        "message": verdict.message if verdict and verdict.reason not in NOT_SHOWN else "",
        "direction": experiment.spec.direction,
        "parent": experiment.spec.parent,
        "frame": experiment.spec.frame,
        "point": experiment.spec.point,
        "value": rounded(sum(found) / len(found), unit) if found else None,
        "gain": rounded(verdict.gain, unit) if verdict and verdict.gain is not None else None,
        "runs": sum(run.phase == "Done" for run in experiment.status.runs),
        "claimed": sum(claims) / len(claims) if claims else None,
        "smoke": experiment.spec.kind == "Smoke",
        "blocked": "" if experiment.status.phase in TERMINAL_PHASES else blocked,
    }


def evidence(experiment: ResearchExperiment, unit: float) -> Evidence:
    """The recorded facts about an experiment, for checking a claim that rests on it."""
    verdict = experiment.status.verdict
    low, high = (verdict.low, verdict.high) if verdict is not None else (None, None)
    return Evidence(
        **_fields(experiment, unit),
        compared_with=verdict.compared_with if verdict is not None else None,
        low=rounded(low, unit) if low is not None else None,
        high=rounded(high, unit) if high is not None else None,
        values=_values(experiment, unit),
    )


def _values(experiment: ResearchExperiment, unit: float) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for run in experiment.status.runs:
        if run.value is not None and run.kind != "final":
            found.setdefault(run.kind, []).append(rounded(run.value, unit))
    return found


def _final(situation: Situation) -> Final | None:
    """The conclusion, only after exploration has ended: its held-out data must not influence explorers."""
    status = situation.loop.status
    return status.final if status.ending is not None else None


def for_checker(situation: Situation) -> Context:
    """The context of a checker: claims and measurements only, without directions, handoffs, files or expectations."""
    unit = noise_unit(situation.incumbent)
    experiments = situation.experiments
    claims = [
        Claim(
            name=one.name,
            statement=one.statement,
            evidence=[evidence(experiments[name], unit) for name in one.evidence if name in experiments],
        )
        for one in visibility.claims(situation)
    ]
    named = {name for one in claims for name in (each.compared_with for each in one.evidence) if name is not None}
    baseline = situation.loop.status.baseline
    bounds = situation.loop.spec.boundaries
    whole = Context(
        loop=situation.loop.metadata.name,
        direction="",
        rules=[],
        objective=situation.loop.spec.objective,
        editable=[],
        max_files=bounds.max_files,
        max_lines_per_file=bounds.max_lines_per_file,
        session=_allowance(situation),
        baseline=baseline.value if baseline else None,
        noise=unit,
        incumbent=Incumbent(name=names.baseline(situation.loop.metadata.name)),
        final=_final(situation),
        results=[view(one, unit) for name, one in experiments.items() if name in named],
        claims=claims,
    )
    return bounded(whole)


def handoff(situation: Situation) -> Handoff | None:
    """Handoff of the newest session with the same role; if that role has no handoff, the newest of any role."""
    roles = {one.name: one.role for it in situation.iterations.values() for one in it.spec.sessions}
    left = [one for it in situation.iterations.values() for one in it.status.reported.handoffs]
    alike = [one for one in left if roles.get(one.session) == situation.session.role]
    found = alike or left
    return found[-1] if found else None


def build(
    situation: Situation,
    *,
    space: Space | None,
    incumbent_files: Mapping[str, str],
    drafts: Mapping[str, str] = MappingProxyType({}),
    references: int = 0,
) -> Context:
    """The context of the situation's session."""
    if situation.session.role == "Check":
        return for_checker(situation)
    loop, incumbent, directions = situation.loop, situation.incumbent, situation.directions
    iterations, experiments = situation.iterations, situation.experiments
    unit = noise_unit(incumbent)
    candidates = sorted(
        (one for one in experiments.values() if one.spec.kind == "Candidate"),
        key=lambda one: (one.spec.iteration, one.spec.session or "", one.spec.sequence),
    )
    failed = [one for one in candidates if one.status.phase in ("Failed", "Invalid")]
    left = handoff(situation)
    baseline = loop.status.baseline
    boundaries = loop.spec.boundaries
    whole = Context(
        loop=loop.metadata.name,
        direction=loop.spec.direction,
        rules=boundaries.rules,
        objective=loop.spec.objective,
        editable=boundaries.editable,
        max_files=boundaries.max_files,
        max_lines_per_file=boundaries.max_lines_per_file,
        session=_allowance(situation),
        demand="Pivot" if situation.pivot_demanded else None,
        baseline=baseline.value if baseline else None,
        noise=unit,
        incumbent=Incumbent(
            name=incumbent.metadata.name if incumbent else loop.metadata.name,
            value=view(incumbent, unit).value if incumbent else None,
            frame=_frame(incumbent, space),
            files=dict(incumbent_files),
        ),
        final=_final(situation),
        space=space,
        run=_run(loop),
        directions=directions,
        current_direction=directions[-1].name if directions else None,
        findings=[one for it in iterations.values() for one in it.status.reported.findings],
        results=[view(one, unit, waits.blocked(situation)) for one in candidates],
        failures=[detail(one, unit, {}, "") for one in failed[-FAILURES_MAX:]],
        handoff=HandoffView(session=left.session, text=left.text, drafts=dict(drafts)) if left else None,
        references=references,
    )
    return bounded(whole)


def _run(loop: ResearchLoop) -> RunView | None:
    template = loop.spec.experiment
    if template.job is None:
        return None
    env = {one.name: one.value for one in template.env}
    return RunView(command=template.command, env=env, seconds=template.active_deadline_seconds)


def _frame(incumbent: ResearchExperiment | None, space: Space | None) -> dict[str, str]:
    if incumbent is not None and incumbent.spec.frame:
        return incumbent.spec.frame
    return space.default_frame if space else {}


def _allowance(situation: Situation) -> SessionAllowance:
    session, agent = situation.session, situation.loop.spec.agent
    own = (one.spec.sequence for one in situation.experiments.values() if one.spec.session == session.name)
    return SessionAllowance(
        name=session.name,
        role=session.role,
        max_rounds=session.max_rounds,
        session_seconds=session.session_seconds,
        max_experiments=session.max_experiments,
        max_smokes=session.max_experiments,
        max_tokens=session.max_tokens,
        next_sequence=1 + max(own, default=0),
        heartbeat_seconds=situation.loop.spec.watchdog.heartbeat_seconds,
        tool_calls=agent.llm.tool_calls if agent.llm is not None else "Auto",
        policy=agent.policy if agent.searcher is None else None,
    )

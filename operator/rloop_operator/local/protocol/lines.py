"""The protocol's records as values: findings, directions, iterations and work.

Called by `files`, which writes them to files, and by the command line, which shows them. Everything is
derived from the stored objects, so that a lost file can be written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rloop import campaign_state, figures
from rloop.api.experiment import TERMINAL_PHASES, ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.researchloop import ResearchLoop

Record = dict[str, Any]


def stamp(moment: datetime | None) -> str:
    """RFC 3339 in UTC with milliseconds."""
    if moment is None:
        return ""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def log_line(ts: str, source: str, level: str, event: str, detail: object) -> Record:
    """A record in the format of all JSON lines in logs/."""
    return {"ts": ts, "source": source, "level": level, "event": event, "detail": detail}


def findings(iterations: Iterable[ResearchIteration], experiments: Iterable[ResearchExperiment]) -> list[Record]:
    """All findings, oldest first: gains that the verifier confirmed, and statements of agents.

    The evidence of both is experiments. A statement that no checker supported is only a claim of an agent and has no
    effect.
    """
    found = [_gain(one) for one in experiments if one.status.phase == "Superseded" or campaign_state.kept_number(one)]
    found += [
        {
            "ts": stamp(one.at),
            "name": one.name,
            "kind": "statement",
            "iteration": iteration.spec.number,
            "source": one.session,
            "statement": one.statement,
            "evidence": one.evidence,
            "checked": one.checked,
            "reason": one.reason,
        }
        for iteration in iterations
        for one in iteration.status.reported.findings
    ]
    return sorted(found, key=lambda one: (one["ts"], one["name"]))


def _gain(experiment: ResearchExperiment) -> Record:
    verdict = experiment.status.verdict
    assert verdict is not None
    kept = campaign_state.kept_number(experiment) > 0
    over = figures.over(verdict) or "over the incumbent"
    said = f"a verified gain {over}" if kept else f"a gain over an earlier incumbent, but not {over}"
    frame = ", ".join(f"{name}={value}" for name, value in experiment.spec.frame.items())
    change = f"{experiment.spec.title} ({frame})" if frame else experiment.spec.title
    return {
        "ts": stamp(verdict.at),
        "name": experiment.metadata.name,
        "kind": "keep" if kept else "superseded",
        "iteration": experiment.spec.iteration,
        "source": "verifier",
        "statement": f'"{change}" is {said}',
        "evidence": [experiment.metadata.name],
        "value": verdict.value,
        "low": verdict.low,
        "high": verdict.high,
        "runs": verdict.n,
        "gain": verdict.gain,
        "unconfirmed": verdict.unconfirmed,
    }


def directions(
    loop: ResearchLoop,
    iterations: Mapping[str, ResearchIteration],
    experiments: Iterable[ResearchExperiment],
) -> list[Record]:
    """All admitted directions, oldest first, with their results."""
    belonging: dict[str, list[ResearchExperiment]] = {}
    for one in experiments:
        if one.spec.direction is not None and one.spec.kind == "Candidate":
            belonging.setdefault(one.spec.direction, []).append(one)
    return [
        {
            "name": one.name,
            "title": one.title,
            "fields": dict(one.fields),
            "frame": one.frame,
            "pivot": one.pivot,
            "source": one.session,
            "ts": stamp(one.at),
            "experiments": len(belonging.get(one.name, [])),
            "keeps": sum(campaign_state.kept_number(each) > 0 for each in belonging.get(one.name, [])),
            **_best(belonging.get(one.name, []), loop),
        }
        for one in campaign_state.directions(iterations)
    ]


def _best(tried: list[ResearchExperiment], loop: ResearchLoop) -> Record:
    """The best value of the kept experiments, or of all if none was kept, and whose it is; None without a value."""
    kept = [one for one in tried if campaign_state.kept_number(one)]
    found = [(value.value, one.metadata.name) for one in kept or tried if (value := figures.value(one)) is not None]
    pick = max if loop.spec.objective.goal == "Maximize" else min
    if not found:
        return {"best_value": None, "best_experiment": None}
    best, name = pick(found)
    return {"best_value": best, "best_experiment": name}


def settled(iterations: Iterable[ResearchIteration], experiments: Iterable[ResearchExperiment]) -> list[Record]:
    """The lines of the iteration log: one for each iteration with an outcome."""
    phases: dict[int, dict[str, int]] = {}
    for one in experiments:
        if one.spec.kind == "Candidate":
            own = phases.setdefault(one.spec.iteration, {})
            own[one.status.phase.lower()] = own.get(one.status.phase.lower(), 0) + 1
    return [_settled(one, phases.get(one.spec.number, {})) for one in iterations if one.status.outcome is not None]


def _settled(iteration: ResearchIteration, phases: dict[str, int]) -> Record:
    status = iteration.status
    return {
        "ts": stamp(status.settled_at),
        "iteration": iteration.spec.number,
        "name": iteration.metadata.name,
        "outcome": status.outcome,
        "experiments": phases,
        "directions": [one.name for one in status.reported.directions],
        "findings": [one.name for one in status.reported.findings],
        "pivots": iteration.spec.pivots,
        "pivot_demanded": iteration.spec.pivot_demanded,
    }


def work_of_iteration(iteration: ResearchIteration) -> list[Record]:
    """Start and end of each session of an iteration."""
    lines = []
    for one in iteration.status.sessions:
        about = {"session": one.name, "attempt": one.attempt}
        if one.started_at is not None:
            lines.append(log_line(stamp(one.started_at), one.name, "info", f"session_started_{one.attempt}", about))
        if one.finished_at is not None:
            level = "error" if one.phase == "Failed" else "info"
            ended = {**about, "reason": one.reason, "nudges": one.nudges}
            lines.append(log_line(stamp(one.finished_at), one.name, level, f"session_{one.phase.lower()}", ended))
    return lines


def work_of_experiment(experiment: ResearchExperiment) -> list[Record]:
    """The proposal, the finished runs and the verdict of an experiment."""
    name, spec, verdict = experiment.metadata.name, experiment.spec, experiment.status.verdict
    source = spec.session or "operator"
    proposed = {"title": spec.title, "direction": spec.direction, "parent": spec.parent, "frame": spec.frame}
    lines = [log_line(stamp(experiment.metadata.creation_timestamp), source, "info", f"proposed {name}", proposed)]
    for run in experiment.status.runs:
        if run.phase not in ("Done", "Failed") or not run.attempts:
            continue
        last = run.verifications[-1] if run.verifications else run.attempts[-1]
        level = "warn" if run.phase == "Failed" else "info"
        about = {"kind": run.kind, "seed": run.seed, "value": run.value, "claimed": run.claimed, "reason": run.reason}
        lines.append(
            log_line(stamp(last.finished_at), "verifier", level, f"run_{run.phase.lower()} {name}-r{run.number}", about)
        )
    if verdict is not None and experiment.status.phase in TERMINAL_PHASES:
        told = verdict.model_dump(mode="json", exclude_none=True, exclude={"at"})
        phase = experiment.status.phase.lower()
        lines.append(log_line(stamp(verdict.at), "operator", "decision", f"{phase} {name}", told))
    return lines

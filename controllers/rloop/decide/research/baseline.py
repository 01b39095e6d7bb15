"""Measures the unchanged task first: the value to beat, and the noise between runs (A/A).

Without it no gain has a meaning. If it fails, the campaign ends, because nothing else can work then.
"""

from __future__ import annotations

from hashlib import sha256
from statistics import fmean, stdev

from rloop import names
from rloop.actions import Create
from rloop.api.experiment import ResearchExperiment, ResearchExperimentSpec, Verdict
from rloop.api.loop_status import Baseline, Best
from rloop.api.researchloop import ResearchLoop
from rloop.decide import children
from rloop.decide.draft import Draft
from rloop.decide.ending import fail
from rloop.decide.queries import runs
from rloop.decide.statistics.acceptance import interval, is_deterministic

DETERMINISTIC = "the task is deterministic (same value with each seed): RLOOP_SEED may be unused"


def measure(draft: Draft) -> None:
    """Create the baseline, give it its runs, and write its value and noise when they are done."""
    if draft.status.baseline is not None:
        return
    experiment = draft.baseline
    if experiment is None:
        draft.act(Create(_baseline_experiment(draft.loop)))
        return
    name = experiment.metadata.name
    wanted = draft.spec.evaluation.baseline_runs
    # It may already have runs of later steps, because experiments are stored before the loop's status, which has the
    # value. A withdrawn run measures nothing.
    own = [run for run in runs.of_kind(experiment, "baseline") if run.phase != "Withdrawn"]
    have = len(own)
    if have < wanted:
        added = runs.add(experiment, "baseline", wanted - have, draft.run_seed)
        draft.write_experiment(name, runs=added, phase="Running")
        return
    broken = [run for run in own if run.phase == "Failed"]
    if broken:
        told = _why(experiment)
        failed = Verdict(reason="BaselineFailed", message=told[:1024], at=draft.now)
        draft.write_experiment(name, phase="Failed", verdict=_stored(experiment, failed))
        fail(draft, "BaselineFailed", f"the unchanged task cannot be measured: {told}")
        return
    if not runs.any_open(experiment, ("baseline",)):
        _finish(draft, experiment)


def _stored(experiment: ResearchExperiment, verdict: Verdict) -> Verdict:
    """The verdict with the time of an earlier pass that could not store the loop's status: the ledger may have it."""
    before = experiment.status.verdict
    return before if before is not None and before.reason == verdict.reason else verdict


def _baseline_experiment(loop: ResearchLoop) -> ResearchExperiment:
    spec = ResearchExperimentSpec(
        loop_name=loop.metadata.name,
        iteration=0,
        sequence=1,
        kind="Baseline",
        title="the unchanged task",
        digest=sha256(b"").hexdigest(),
    )
    return ResearchExperiment(metadata=children.metadata(loop, names.baseline(loop.metadata.name)), spec=spec)


def _why(experiment: ResearchExperiment) -> str:
    run = next(run for run in experiment.status.runs if run.phase == "Failed")
    if run.verifications:
        scoring = run.verifications[-1]
        return f"run {run.number}: {run.reason}. {runs.failed_checks(scoring) or scoring.message}"
    if run.attempts:
        last = run.attempts[-1]
        words = last.log_tail[-600:].strip()
        told = f"Last output: {words}" if words else "It printed nothing"
        return f"run {run.number}: {runs.how_it_ended(last)}. {told}"
    return f"run {run.number}: {run.reason}"


def _finish(draft: Draft, experiment: ResearchExperiment) -> None:
    name = experiment.metadata.name
    found = runs.values(experiment, ("baseline",))
    low, high = interval(found)
    value = fmean(found)
    deterministic = is_deterministic(found)
    verdict = Verdict(
        reason="Baseline",
        message=DETERMINISTIC if deterministic else "",
        value=value,
        low=low,
        high=high,
        gain=0.0,
        n=len(found),
        at=draft.now,
    )
    verdict = _stored(experiment, verdict)
    draft.write_experiment(name, phase="Accepted", verdict=verdict)
    spread = 0.0 if deterministic else stdev(found)
    draft.write(
        baseline=Baseline(experiment=name, value=value, stddev=spread, n=len(found), deterministic=deterministic),
        best=Best(experiment=name, value=value, low=low, high=high, gain=0.0, n=len(found), verified_at=verdict.at),
    )
    noise = verdict.message or f"noise between runs {draft.number(spread)}"
    draft.tell(
        "BaselineMeasured",
        f"{draft.spec.objective.metric} {draft.number(value)} over {len(found)} runs; {noise}",
        about=name,
    )

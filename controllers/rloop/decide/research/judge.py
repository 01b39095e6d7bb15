"""Judges every open candidate whose present runs are done: keep, reject, or request more runs.

The statistics are in `rloop.decide.statistics.acceptance`; `comparison` prepares their input, this module applies the
verdict. Challengers are compared with the current incumbent, and at most one is kept in a pass: the next one meets the
new incumbent.
"""

from __future__ import annotations

from statistics import fmean
from typing import assert_never

from rloop import figures
from rloop.api.experiment import OPEN_RUN, ExperimentPhase, ResearchExperiment, Run, Verdict
from rloop.api.loop_status import Best
from rloop.campaign_state import kept_number
from rloop.decide.draft import Draft
from rloop.decide.ending import withdraw_experiment
from rloop.decide.queries import comparison, guardrails, runs
from rloop.decide.statistics.acceptance import Keep, More, Phase, Reject, SeedIgnored, interval
from rloop.decide.statistics.acceptance import Verdict as Judgement

PHASE_OF_REASON: dict[str, ExperimentPhase] = {
    "CheckFailed": "Invalid",
    "VerdictMissing": "Invalid",
    "VerdictMalformed": "Invalid",
}
"""Phase of an experiment with a run that ended for this reason; any other failure makes it Failed."""


def judge(draft: Draft) -> None:
    """Judge every open candidate that has no live run, in order of proposal."""
    if draft.status.baseline is None or draft.incumbent is None:
        return
    keeps = draft.keeps
    for experiment in draft.open_candidates():
        name = experiment.metadata.name
        if not experiment.status.runs:
            draft.write_experiment(name, runs=runs.add(experiment, "screen", 1, draft.run_seed))
            continue
        broken = next((run for run in experiment.status.runs if run.phase == "Failed"), None)
        if broken is not None:
            _give_up(draft, experiment, broken)
        elif runs.any_open(experiment) or comparison.concluding(draft) or draft.keeps > keeps:
            _show_phase(draft, experiment)
        else:
            _judge_one(draft, experiment)
    _refresh_best(draft)


def _compare(draft: Draft, experiment: ResearchExperiment, against: ResearchExperiment) -> Judgement:
    incumbent = comparison.incumbent(against, runs.incumbent_runs(against), draft.experiments.values())
    return comparison.judgement(draft.spec, experiment, incumbent)


def _judge_one(draft: Draft, experiment: ResearchExperiment) -> None:
    incumbent = draft.incumbent
    assert incumbent is not None
    name = experiment.metadata.name
    match _compare(draft, experiment, incumbent):
        case More() as more:
            _ask_for_runs(draft, experiment, incumbent, more)
        case Keep() as keep:
            _keep(draft, experiment, incumbent, keep)
        case Reject() as reject:
            superseded = _would_have_been_kept(draft, experiment, incumbent)
            phase: ExperimentPhase = "Superseded" if superseded else "Rejected"
            reason = "Superseded" if superseded else reject.reason
            verdict = Verdict(
                reason=reason,
                compared_with=incumbent.metadata.name,
                compared_runs=list(runs.incumbent_runs(incumbent)),
                value=comparison.finite(reject.value),
                gain=reject.gain,
                z=comparison.finite(reject.z),
                n=reject.n,
                at=draft.now,
            )
            draft.write_experiment(name, phase=phase, verdict=verdict)
            draft.tell(phase, f"{name}: {reason}, {_told(draft, verdict)}", about=name)
        case SeedIgnored() as ignored:
            told = "its runs have the same value with each seed, unlike the incumbent's: it must use RLOOP_SEED"
            verdict = Verdict(
                reason="SeedIgnored",
                message=told,
                compared_with=incumbent.metadata.name,
                value=ignored.value,
                n=ignored.n,
                at=draft.now,
            )
            draft.write_experiment(name, phase="Invalid", verdict=verdict)
            draft.tell("Invalid", f"{name}: {told}", about=name, warning=True)
        case never:
            assert_never(never)


def _ask_for_runs(draft: Draft, experiment: ResearchExperiment, incumbent: ResearchExperiment, more: More) -> None:
    kinds = {Phase.SCREEN: "screen", Phase.CONFIRM: "confirm", Phase.AUDIT: "audit"}
    name = experiment.metadata.name
    asked = runs.add(experiment, kinds[more.kind], more.count, draft.run_seed)  # type: ignore[arg-type]
    if len(asked) == len(experiment.status.runs):
        withdraw_experiment(
            draft, name, "NoRunLeft", "withdrawn: it has reached the maximum number of runs and cannot be confirmed"
        )
        return
    draft.write_experiment(name, runs=asked, phase="Running")
    coming = sum(run.phase in OPEN_RUN for run in runs.of_kind(incumbent, "reference"))
    wanted = min(more.reference - coming, runs.room_for_references(incumbent))
    if wanted > 0:
        with_reference = runs.add(incumbent, "reference", wanted, draft.run_seed)
        draft.write_experiment(incumbent.metadata.name, runs=with_reference)


def _keep(draft: Draft, experiment: ResearchExperiment, incumbent: ResearchExperiment, keep: Keep) -> None:
    name = experiment.metadata.name
    broken = guardrails.broken(draft.spec, experiment)
    if broken is not None:
        verdict = Verdict(
            reason="GuardrailBroken",
            message=broken,
            compared_with=incumbent.metadata.name,
            compared_runs=list(runs.incumbent_runs(incumbent)),
            value=keep.value,
            low=keep.low,
            high=keep.high,
            gain=keep.gain,
            n=keep.n,
            at=draft.now,
        )
        draft.write_experiment(name, phase="Rejected", verdict=verdict)
        draft.tell("Rejected", f"{name}: {broken}", about=name)
        return
    compared = runs.incumbent_runs(incumbent)
    verdict = comparison.kept(draft.spec, keep, incumbent.metadata.name, compared, number=draft.keeps + 1, at=draft.now)
    draft.write_experiment(name, phase="Accepted", verdict=verdict)
    draft.tell("BestUpdated", f"{name}: {_told(draft, verdict)}", about=name)


def _told(draft: Draft, verdict: Verdict) -> str:
    """The figures of a verdict: `loss 0.2500 over 9 runs, gain 0.2500 over the incumbent demo-b01 (5 runs)`."""
    found = figures.of_verdict(verdict)
    gain = f"gain {draft.number(verdict.gain or 0.0)} {figures.over(verdict)}"
    if found is None:
        return gain
    return f"{draft.spec.objective.metric} {draft.number(found.value)} over {figures.counted(found.runs)}, {gain}"


def _would_have_been_kept(draft: Draft, experiment: ResearchExperiment, incumbent: ResearchExperiment) -> bool:
    """Whether it would have been kept against the incumbent of its proposal: then it is a finding, but no keep."""
    older = draft.experiments.get(experiment.spec.incumbent or "")
    if older is None or older.metadata.name == incumbent.metadata.name:
        return False
    return isinstance(_compare(draft, experiment, older), Keep) and guardrails.broken(draft.spec, experiment) is None


def _give_up(draft: Draft, experiment: ResearchExperiment, broken: Run) -> None:
    name = experiment.metadata.name
    reason = broken.reason or "RunFailed"
    message = f"run {broken.number}"
    if broken.verifications:
        last = broken.verifications[-1]
        message = f"{message}: {runs.failed_checks(last) or last.message}"
    elif broken.attempts and broken.attempts[-1].phase == "Failed":
        ended = broken.attempts[-1]
        message = f"{message}: {runs.how_it_ended(ended)}{runs.last_words(ended)}"
    withdrawn = runs.withdrawn(experiment, reason)
    phase = PHASE_OF_REASON.get(reason, "Failed")
    draft.write_experiment(
        name, runs=withdrawn, phase=phase, verdict=Verdict(reason=reason, message=message[:1024], at=draft.now)
    )
    draft.tell(phase, f"{name}: {reason}, {message}", about=name, warning=True)


def _show_phase(draft: Draft, experiment: ResearchExperiment) -> None:
    phases = {run.phase for run in experiment.status.runs}
    shown: ExperimentPhase = (
        "Verifying" if "Verifying" in phases else "Running" if runs.started(experiment) else "Queued"
    )
    if shown != experiment.status.phase:
        draft.write_experiment(experiment.metadata.name, phase=shown)


def _refresh_best(draft: Draft) -> None:
    """Update the incumbent's value over all its runs after the screen, including later reference runs."""
    incumbent, baseline = draft.incumbent, draft.status.baseline
    if incumbent is None or baseline is None:
        return
    found = runs.incumbent_values(incumbent)
    old = draft.status.best
    if not found or (old is not None and old.experiment == incumbent.metadata.name and old.n == len(found)):
        return
    value = fmean(found)
    low, high = interval(found)
    sign = 1 if draft.spec.objective.goal == "Maximize" else -1
    behind = runs.incumbent_runs(incumbent)
    claims = [run.claimed for run in incumbent.status.runs if run.number in behind and run.claimed is not None]
    verdict = incumbent.status.verdict
    draft.write(
        best=Best(
            experiment=incumbent.metadata.name,
            value=value,
            low=low,
            high=high,
            gain=sign * (value - baseline.value) if kept_number(incumbent) else 0.0,
            claimed=fmean(claims) if claims else None,
            n=len(found),
            unconfirmed=verdict is not None and verdict.unconfirmed,
            verified_at=draft.now,
        )
    )

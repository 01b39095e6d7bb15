"""What the campaign has used and reserved, and what the rest of its budget still allows.

Queries of budget, reopen, schedule, attempt, iteration and report. A live attempt counts with its reservation, a
finished one with its usage, and no attempt starts that does not fit. So the sum exceeds a limit only by what attempts
use beyond their reservation, even if a crash happens in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal as Exact

from rloop.api.common import Decimal
from rloop.api.experiment import LIVE_RUN, ResearchExperiment, Reservation, RunKind
from rloop.api.iteration import RefusedCall, ResearchIteration
from rloop.api.loop_status import Used
from rloop.api.workload import ExperimentTemplate
from rloop.campaign_state import active_seconds, newest_first
from rloop.decide.draft import Draft
from rloop.decide.queries import finding_checks

SMOKE_SECONDS = 300
"""Deadline of an attempt at a smoke test: enough to load a model and take a step."""
HELD_SECONDS = 30
"""Longer than the LLM proxy takes to release what it holds for a session. What a dead proxy held stays held."""


def exhausted(draft: Draft, sessions: int | None = None) -> list[str]:
    """The limits that allow no new sessions; `sessions` is their number, by default that of the next iteration."""
    budget, used = draft.spec.budget, spent(draft)
    limits: tuple[tuple[str, float, float | Decimal | None], ...] = (
        ("runs", used.runs, budget.runs),
        ("experiments", used.experiments, budget.experiments),
        ("activeSeconds", used.active_seconds, budget.active_seconds),
        ("cpuSeconds", used.cpu_seconds, budget.cpu_seconds),
        ("gpuSeconds", used.gpu_seconds, budget.gpu_seconds),
        ("tokens", used.tokens, budget.tokens),
        ("cost", used.cost, budget.cost),
    )
    short = unaffordable(draft, sessions)
    return [name for name, spent, limit in limits if limit is not None and (spent >= float(limit) or name in short)]


def unaffordable(draft: Draft, sessions: int | None = None) -> dict[str, str]:
    """The limits with too little left for even the first model call of a new session, and why.

    A call that would not fit in maxTokensPerSession either says nothing about the budget.
    """
    budget, agent = draft.spec.budget, draft.spec.agent
    if agent.llm is None or not (refused := _refused_calls(draft)):
        return {}
    short: dict[str, str] = {}
    told = "{} are left for a session, but its first call needs at least {}"
    if budget.tokens is not None:
        together = sessions or len(draft.spec.agent.explorers) + finding_checks.to_check(draft)
        share = (budget.tokens - spent(draft).tokens) // together
        least = min(one.tokens for one in refused)
        if share < least <= agent.session_tokens:
            short["tokens"] = told.format(share, least)
    if budget.cost is not None:
        rest, cheapest = Exact(budget.cost) - Exact(str(spent(draft).cost)), min(Exact(one.cost) for one in refused)
        if rest < cheapest:
            short["cost"] = told.format(rest, cheapest)
    return short


def _refused_calls(draft: Draft) -> list[RefusedCall]:
    """The refused first calls of the newest sessions that called a model; empty if any call of theirs was answered."""
    for iteration in newest_first(draft.iterations):
        usages = iteration.status.reported.usage
        if any(one.calls for one in usages):
            break
        if refused := [one.refused_call for one in usages if one.refused_call is not None]:
            return refused
    return []


def affordable(draft: Draft, reservation: Reservation) -> bool:
    """Whether a run with this reservation still fits under every limit."""
    return _exceeded(draft, reservation) is None


def _exceeded(draft: Draft, reservation: Reservation) -> str | None:
    """The first limit under which a run with this reservation does not fit."""
    budget, used = draft.spec.budget, spent(draft)
    if budget.active_seconds is not None and used.active_seconds >= budget.active_seconds:
        return "activeSeconds"
    return too_much(draft, used, reservation)


def blocked_by(draft: Draft) -> str | None:
    """The limit that allows none of the queued runs. None while a run is live: it may use less than it reserved."""
    if any(run.phase in LIVE_RUN for _, run in draft.moving_runs()):
        return None
    queued = {run.kind for _, run in draft.moving_runs() if run.phase == "Queued"}
    if any(not one.status.runs for one in draft.open_candidates()):
        queued.add("screen")
    limits = [_exceeded(draft, reservation(draft, kind)) for kind in sorted(queued)]
    return limits[0] if limits and None not in limits else None


def overdrawn(draft: Draft) -> bool:
    """Whether used plus reserved amounts exceed a limit: then no further attempt of a run may start."""
    return too_much(draft, spent(draft), Reservation(runs=0)) is not None


def too_much(draft: Draft, used: Used, more: Reservation) -> str | None:
    """The first limit that is exceeded with this addition."""
    budget = draft.spec.budget
    limits: tuple[tuple[str, float, int | None], ...] = (
        ("runs", used.runs + more.runs, budget.runs),
        ("cpuSeconds", used.cpu_seconds + more.cpu_seconds, budget.cpu_seconds),
        ("gpuSeconds", used.gpu_seconds + more.gpu_seconds, budget.gpu_seconds),
    )
    return next((name for name, spent, limit in limits if limit is not None and spent > limit), None)


def deadline_seconds(template: ExperimentTemplate, kind: RunKind) -> int:
    """Maximum duration of an attempt at a run of this kind."""
    whole = template.active_deadline_seconds
    return min(whole, SMOKE_SECONDS) if kind == "smoke" else whole


def reservation(draft: Draft, kind: RunKind = "screen") -> Reservation:
    """What one run may use. A smoke test does not count as a run of the campaign.

    Without experiment.cpuSeconds one core is reserved for the whole deadline. A GPU is held by an attempt from its
    start to its end, used or not.
    """
    template = draft.spec.experiment
    deadline = deadline_seconds(template, kind)
    cpu = 0
    if draft.spec.budget.cpu_seconds is not None:
        cpu = template.cpu_seconds or deadline
    return Reservation(runs=int(kind != "smoke"), cpu_seconds=cpu, gpu_seconds=template.gpus * deadline)


def may_come_back(draft: Draft) -> bool:
    """Whether the LLM proxy may still release what it holds for sessions that have just ended."""
    iterations = draft.iterations.values()
    held = any(one.held_tokens or Exact(one.held_cost) for it in iterations for one in it.status.reported.usage)
    ends = [one.finished_at for it in iterations for one in it.status.sessions if one.finished_at is not None]
    return held and bool(ends) and not draft.passed(max(ends) + timedelta(seconds=HELD_SECONDS))


def active_for(draft: Draft, seconds: float) -> bool:
    """Whether the campaign has been active for this long; if not, and its clock runs, note the next pass for then."""
    used = active_seconds(draft.status.clock, draft.now)
    if draft.status.clock.active_since is None:
        return used >= seconds
    return draft.older(used, seconds)


def spent(draft: Draft) -> Used:
    """What is used and reserved at this moment of the decision."""
    if draft.used is not None:
        return draft.used
    proposed, total_runs, cpu, gpu = _of_runs(draft.experiments.values())
    tokens, cost = _of_sessions(draft.iterations.values())
    draft.used = draft.status.budget.used.changed(
        active_seconds=active_seconds(draft.status.clock, draft.now),
        experiments=proposed,
        runs=total_runs,
        cpu_seconds=cpu,
        gpu_seconds=gpu,
        tokens=tokens,
        cost=cost,
    )
    return draft.used


def _of_runs(experiments: Iterable[ResearchExperiment]) -> tuple[int, int, float, float]:
    """Proposals, runs, and their CPU and GPU seconds: measured for ended attempts, reserved for live ones."""
    proposed, total_runs, cpu, gpu = 0, 0, 0.0, 0.0
    for experiment in experiments:
        proposed += experiment.spec.kind == "Candidate"
        for run in experiment.status.runs:
            if run.reservation is None:
                continue
            total_runs += run.reservation.runs
            for one in run.attempts:
                cpu += one.usage.cpu_seconds
                gpu += one.usage.gpu_seconds
            if run.attempts and run.attempts[-1].phase in ("Pending", "Running"):
                cpu += run.reservation.cpu_seconds
                gpu += run.reservation.gpu_seconds
    return proposed, total_runs, cpu, gpu


def _of_sessions(iterations: Iterable[ResearchIteration]) -> tuple[int, float]:
    """Tokens and cost of all sessions, including what the LLM proxy holds for them.

    Summed as decimals, so that three calls of 0.1 reach a limit of 0.3 without exceeding it.
    """
    usages = [one for iteration in iterations for one in iteration.status.reported.usage]
    tokens = sum(one.input_tokens + one.output_tokens + one.held_tokens for one in usages)
    return tokens, float(sum((Exact(one.cost) + Exact(one.held_cost) for one in usages), Exact(0)))

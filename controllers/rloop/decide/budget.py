"""Accounts for what the campaign has used and reserved, and ends it when nothing is left.

A live attempt counts with its reservation, a finished one with its usage, and no attempt starts that does not fit. So
the sum exceeds a limit only by what attempts use beyond their reservation, even if a crash happens in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal as Exact

from rloop import standing
from rloop.api.common import Decimal
from rloop.api.experiment import ResearchExperiment, Reservation, RunKind
from rloop.api.iteration import RefusedCall, ResearchIteration
from rloop.api.loop_status import BudgetStatus, Clock, Used
from rloop.api.workload import ExperimentTemplate
from rloop.decide import ending, findings, lead, runs
from rloop.decide.draft import Draft
from rloop.standing import active_seconds, newest_first

SMOKE_SECONDS = 300
"""Deadline of an attempt at a smoke test: enough to load a model and take a step."""
HELD_SECONDS = 30
"""Longer than the LLM proxy takes to release what it holds for a session. What a dead proxy held stays held."""


def account(draft: Draft) -> None:
    """Write what is used; activeSeconds only with another change, because an idle loop should cost no write."""
    turn_clock(draft)
    limit = draft.spec.budget.active_seconds
    if limit is not None:
        active_for(draft, limit)
    used = spent(draft)
    old = draft.status.budget.used
    same = old.model_copy(update={"active_seconds": used.active_seconds}) == used
    unchanged = same and draft.status == draft.loop.status
    if not unchanged and used != old:
        draft.write(budget=BudgetStatus(used=used))


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
    short = _unaffordable(draft, sessions)
    return [name for name, spent, limit in limits if limit is not None and (spent >= float(limit) or name in short)]


def _unaffordable(draft: Draft, sessions: int | None = None) -> dict[str, str]:
    """The limits with too little left for even the first model call of a new session, and why.

    A call that would not fit in maxTokensPerSession either says nothing about the budget.
    """
    budget, llm = draft.spec.budget, draft.spec.agent.llm
    if llm is None or not (refused := _refused_calls(draft)):
        return {}
    short: dict[str, str] = {}
    told = "{} are left to a session, and its first call takes at least {}"
    if budget.tokens is not None:
        together = sessions or len(draft.spec.agent.explorers) + findings.to_check(draft)
        share = (budget.tokens - spent(draft).tokens) // together
        least = min(one.tokens for one in refused)
        if share < least <= llm.max_tokens_per_session:
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
    budget, used = draft.spec.budget, spent(draft)
    if budget.active_seconds is not None and used.active_seconds >= budget.active_seconds:
        return False
    return _too_much(draft, used, reservation) is None


def overdrawn(draft: Draft) -> bool:
    """Whether used plus reserved amounts exceed a limit: then no further attempt of a run may start."""
    return _too_much(draft, spent(draft), Reservation(runs=0)) is not None


def _too_much(draft: Draft, used: Used, more: Reservation) -> str | None:
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


def end(draft: Draft) -> None:
    """Complete the campaign when a limit is reached, nothing runs and nothing queued can be afforded."""
    reached = exhausted(draft)
    limit = next(iter(reached), None)
    if "activeSeconds" in reached:
        # Sessions end at the limit. A run that has started may finish: what it measures is already paid for.
        for name, iteration in list(draft.iterations.items()):
            if not standing.closing(iteration):
                ending.end_sessions(draft, name, findings.LOOP_FINISHED)
    live = any(run.phase in runs.LIVE for _, run in draft.moving_runs())
    if live or draft.at_work or draft.suspended:
        return
    queued = any(run.phase == "Queued" for _, run in draft.moving_runs()) or bool(draft.open_candidates())
    if queued and affordable(draft, reservation(draft)):
        return
    if limit is None and queued:
        limit = _too_much(draft, spent(draft), reservation(draft))
    if limit is None or (limit in ("tokens", "cost") and may_come_back(draft)):
        return
    why = _unaffordable(draft).get(limit)
    told = f"spec.budget.{limit} is used up" + ("" if why is None else f": {why}")
    if (found := lead.find(draft)) is not None:
        draft.write(lead=found)
        told += f"; {lead.told(draft, found)}; a larger budget continues the campaign"
    ending.end(draft, "BudgetExhausted", told, warning=True)


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


def turn_clock(draft: Draft) -> None:
    """Start and stop the clock of active seconds. Time without an operator does not count."""
    clock, now = draft.status.clock, draft.now
    down = draft.observed.down_since
    if clock.active_since is not None and down is not None and down < now:
        before = max(0.0, (down - clock.active_since).total_seconds())
        clock = Clock(accumulated_seconds=clock.accumulated_seconds + before, active_since=now)
    running = draft.sealed and not draft.suspended and not draft.finished
    if running and clock.active_since is None:
        clock = clock.model_copy(update={"active_since": now})
    if not running and clock.active_since is not None:
        clock = Clock(accumulated_seconds=active_seconds(clock, now))
    if clock != draft.status.clock:
        draft.write(clock=clock)


def spent(draft: Draft) -> Used:
    """What is used and reserved at this moment of the decision."""
    if draft.used is not None:
        return draft.used
    proposed, total_runs, cpu, gpu = _of_runs(draft.experiments.values())
    tokens, cost = _of_sessions(draft.iterations.values())
    draft.used = draft.status.budget.used.model_copy(
        update={
            "active_seconds": active_seconds(draft.status.clock, draft.now),
            "experiments": proposed,
            "runs": total_runs,
            "cpu_seconds": cpu,
            "gpu_seconds": gpu,
            "tokens": tokens,
            "cost": cost,
        }
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

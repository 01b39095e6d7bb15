"""The campaign as a story: one line for each event worth telling.

Called by the views of `rloop run`. Verdicts come in floods, so they are told once an iteration, in one line; what is
told of an event is read from the objects as they stood one pass later, when the status it belongs to is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rloop import standing
from rloop.actions import Event
from rloop.api.iteration import Direction
from rloop.observed import Observed
from rloop_operator.cli import facts, words
from rloop_operator.cli.reading import Snapshot

SILENT = frozenset({"Rejected", "Superseded", "Withdrawn", "Failed", "Invalid", "RunFailed", "AttemptFailed"})
"""Told with their iteration; of the baseline, which has none, at once."""
LABELS = {
    "Accepted": "accepted",
    "BaselineMeasured": "baseline",
    "BaselineFailed": "failed",
    "IterationOpened": "iteration",
    "IterationSettled": "iteration",
    "BestUpdated": "keep",
    "PivotForced": "pivot",
    "NeedsAttention": "attention",
    "Concluding": "concluding",
    "TargetMissed": "missed",
    "TargetMet": "complete",
    "TargetMetByBaseline": "complete",
    "TargetNotConfirmed": "complete",
    "BudgetExhausted": "complete",
    "AgentRestarted": "watchdog",
    "AgentFailed": "watchdog",
}
STYLES = {
    "keep": "bold green",
    "pivot": "yellow",
    "attention": "bold yellow",
    "watchdog": "yellow",
    "missed": "yellow",
    "failed": "bold red",
    "concluding": "cyan",
    "complete": "bold",
}
OUTCOMES = {"Keep": "kept", "Finding": "a finding", "Stale": "stale", "Neutral": "neutral", "Void": "void"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the story."""

    seconds: float
    """Active time of the campaign."""
    label: str
    text: str

    @property
    def style(self) -> str:
        """Its colour on a terminal."""
        return STYLES.get(self.label, "")

    def plain(self) -> str:
        """`    0:41  keep        i0004-e2 …`."""
        return f"{words.duration(self.seconds):>8}  {self.label:<10}  {self.text}"


def snapshot_of(observed: Observed) -> Snapshot:
    """What a pass of the operator saw."""
    return Snapshot(observed.loop, observed.iterations, observed.experiments, observed.now)


class Story:
    """Remembers what was told."""

    def __init__(self) -> None:
        self._new: list[Event] = []
        self._due: list[Event] = []
        self._told_directions: set[str] | None = None
        self._draining = False

    def heard(self, event: Event) -> None:
        """Take an event; it is told when its status can be seen."""
        self._new.append(event)

    def lines(self, observed: Observed, *, last: bool = False) -> Iterator[Line]:
        """What is to be told after this pass; `last`: there is no later one."""
        snapshot = snapshot_of(observed)
        at = snapshot.active_seconds
        directions = standing.directions(observed.iterations)
        if self._told_directions is None:
            self._told_directions = {one.name for one in directions}
            yield from _goes_on(snapshot, at)
        due = [*self._due, *self._new] if last else self._due
        self._due, self._new = ([], []) if last else (self._new, [])
        for event in due:
            text = _text(event, snapshot)
            if text:
                label = LABELS.get(event.reason, "warning" if event.type == "Warning" else "event")
                yield Line(at, label, text)
        for one in directions:
            if one.name not in self._told_directions:
                self._told_directions.add(one.name)
                yield Line(at, "direction", _direction(one, directions, snapshot))
        if observed.draining and not self._draining:
            self._draining = True
            yield Line(
                at,
                "stopping",
                "finishing what runs; press Ctrl-C again to stop now; the same command goes on",
            )


def progress(snapshot: Snapshot) -> Line:
    """A sign of life for those who have lines only."""
    status, budget = snapshot.loop.status, snapshot.loop.spec.budget
    limit = f" of {budget.runs}" if budget.runs is not None else ""
    told = [f"iteration {status.iteration}", f"{status.budget.used.runs}{limit} runs", *facts.running(snapshot)[:3]]
    return Line(snapshot.active_seconds, "running", ", ".join(told))


def _goes_on(snapshot: Snapshot, at: float) -> Iterator[Line]:
    """The first line of a command that finds a campaign under way."""
    status = snapshot.loop.status
    if status.baseline is None and not snapshot.experiments:
        return
    told = [f"iteration {status.iteration}", facts.counts(snapshot), f"{status.budget.used.runs} runs so far"]
    yield Line(at, "goes on", "; ".join(told))


def _text(event: Event, snapshot: Snapshot) -> str:
    if event.reason in SILENT and not event.object.endswith("-b01"):
        return ""
    match event.reason:
        case "Accepted":
            return "the manifest is valid, the task is sealed; measuring the baseline"
        case "BaselineMeasured":
            return _baseline(snapshot) or _as_told(event, snapshot)
        case "IterationOpened":
            iteration = snapshot.iterations.get(event.object)
            demand = ", which must change the frame" if iteration and iteration.spec.pivot_demanded else ""
            return f"{snapshot.short(event.object)} opens{demand}"
        case "IterationSettled":
            return _settled(event.object, snapshot) or _as_told(event, snapshot)
        case "BestUpdated":
            return _keep(event.object, snapshot) or _as_told(event, snapshot)
        case _:
            return _as_told(event, snapshot)


def _as_told(event: Event, snapshot: Snapshot) -> str:
    return words.line(event.message.replace(f"{snapshot.name}-", ""))


def _baseline(snapshot: Snapshot) -> str:
    baseline = snapshot.loop.status.baseline
    if baseline is None:
        return ""
    noise = "deterministic" if baseline.deterministic else f"noise between runs {baseline.stddev:.2g}"
    value = words.number(baseline.value, baseline.stddev)
    return f"{snapshot.loop.spec.objective.metric} {value}, {noise} ({words.counted(baseline.n, 'run')})"


def _settled(name: str, snapshot: Snapshot) -> str:
    iteration = snapshot.iterations.get(name)
    if iteration is None or iteration.status.outcome is None:
        return ""
    own = [one for one in snapshot.ordered() if one.spec.iteration == iteration.spec.number]
    told = f"{snapshot.short(name)} settles, {OUTCOMES[iteration.status.outcome]}; {facts.outcome(own)}"
    near = facts.closest(own)
    if near is not None and iteration.status.outcome != "Keep":
        told += f"; closest {snapshot.short(near.metadata.name)}, gain {facts.verdict_gain(near):.2g}"
    status, stall = snapshot.loop.status, snapshot.loop.spec.stall
    return f"{told}; stale {status.stale_count} of {stall.pivot_after}"


def _keep(name: str, snapshot: Snapshot) -> str:
    experiment = snapshot.experiments.get(name)
    verdict = experiment.status.verdict if experiment is not None else None
    if experiment is None or verdict is None or verdict.value is None:
        return ""
    baseline, objective = snapshot.loop.status.baseline, snapshot.loop.spec.objective
    told = words.interval(verdict.value, verdict.low, verdict.high)
    over = snapshot.short(verdict.compared_with or "the incumbent")
    won = f"gain {verdict.gain:.3g} over {over}" if verdict.gain is not None else ""
    if baseline is not None:
        sign = 1 if objective.goal == "Maximize" else -1
        won += f", {words.gain(sign * (verdict.value - baseline.value), baseline.value)} over the baseline"
    title = words.line(experiment.spec.title, 60)
    return f"{snapshot.short(name)} {objective.metric} {told}; {won}; {title}"


def _direction(one: Direction, directions: list[Direction], snapshot: Snapshot) -> str:
    earlier = directions[: directions.index(one)]
    changed = words.frame(one.frame, earlier[-1].frame) if earlier else ""
    told = changed or words.line(one.title, 120)
    again = " (after a pivot)" if one.pivot and earlier and one.pivot > earlier[-1].pivot else ""
    return f"{snapshot.short(one.name)}{again} {told}"

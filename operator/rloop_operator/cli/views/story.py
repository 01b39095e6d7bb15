"""The progress of a campaign as lines of text, one for each important event.

Called by the views of `rloop run`. Verdicts are numerous, so they are summarized in one line per iteration. Lines come
from the stored objects where possible, because an event is lost if the operator dies (or must decide again) between a
write and its report. Other lines come from events, one pass later, when the status they belong to is visible.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rloop import campaign_state
from rloop.actions import Event
from rloop.observed import Observed
from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.cli.terminal import words
from rloop_operator.cli.views import facts, lines
from rloop_operator.local.storage import user_requests

SEEN = frozenset({"IterationOpened", "IterationSettled", "BestUpdated", "Concluding"})
"""Events that are not shown, because their lines come from the objects."""
OF_CANDIDATES = frozenset({"Rejected", "Superseded", "Withdrawn", "Failed", "Invalid", "RunFailed", "AttemptFailed"})
"""Events of candidates that are not shown: their iteration's line and lines about failures cover them. Those of the
baseline, which belongs to no iteration, are shown at once.
"""
LABELS = {
    "Accepted": "accepted",
    "BaselineMeasured": "baseline",
    "BaselineFailed": "failed",
    "PivotForced": "pivot",
    "NeedsAttention": "attention",
    "TargetMissed": "missed",
    "TargetMet": "complete",
    "TargetMetByBaseline": "complete",
    "TargetNotConfirmed": "complete",
    "BudgetExhausted": "complete",
    "SpaceExhausted": "complete",
    "Reported": "complete",
    "BudgetRaised": "resumed",
    "AgentRestarted": "watchdog",
    "AgentFailed": "watchdog",
}
ORDER = (
    "resumed",
    "accepted",
    "warning",
    "waiting",
    "watchdog",
    "baseline",
    "keep",
    "settled",
    "pivot",
    "attention",
    "event",
    "opened",
    "direction",
    "missed",
    "concluding",
    "outcome",
    "complete",
    "failed",
    "suspended",
    "stopping",
)
"""Order of the labels within one pass: a consequence is shown after its cause."""
STYLES = {
    "keep": "bold green",
    "pivot": "yellow",
    "attention": "bold yellow",
    "watchdog": "yellow",
    "warning": "yellow",
    "waiting": "yellow",
    "missed": "yellow",
    "failed": "bold red",
    "concluding": "cyan",
    "outcome": "bold",
    "complete": "bold",
    "stopping": "bold yellow",
    "suspended": "bold yellow",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of progress."""

    seconds: float
    """Active time of the campaign."""
    label: str
    text: str

    @property
    def style(self) -> str:
        """Its colour on a terminal."""
        return STYLES.get(self.label, "")

    def plain(self) -> str:
        """The line as plain text: `    0:41  keep        i0004-e2 …`."""
        return f"{words.duration(self.seconds):>8}  {self.label:<10}  {self.text}"


@dataclass(slots=True)
class _Told:
    """Names of the objects that were shown already."""

    opened: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    directions: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    concluding: set[str] = field(default_factory=set)
    waiting: str = ""
    """Reason of the wait that was shown last; empty if nothing waits."""
    draining: bool = False
    suspended: bool = False


def snapshot_of(observed: Observed) -> Snapshot:
    """The snapshot of a pass. In the first pass it excludes the time without an operator, which is not yet deducted."""
    now, by_request = observed.down_since or observed.now, user_requests.suspended_by_request(observed.loop)
    return Snapshot(observed.loop, observed.iterations, observed.experiments, now, by_request=by_request)


class Story:
    """Produces the lines of a campaign, each once."""

    def __init__(self) -> None:
        self._new: list[Event] = []
        self._due: list[Event] = []
        self._told: _Told | None = None

    def heard(self, event: Event) -> None:
        """Take an event. Its line is produced once the status it belongs to is visible."""
        self._new.append(event)

    def lines(self, observed: Observed, *, last: bool = False) -> list[Line]:
        """The new lines after this pass; `last`: no other pass follows."""
        snapshot = snapshot_of(observed)
        found: list[tuple[str, str]] = []
        if self._told is None:
            self._told = _Told()
            if observed.experiments:
                found.append(("resumed", _resumed(snapshot)))
                list(_seen(snapshot, self._told))  # mark everything before this command as shown
        due = [*self._due, *self._new] if last else self._due
        self._due, self._new = ([], []) if last else (self._new, [])
        found += [one for one in (_of(event, snapshot) for event in due) if one is not None]
        found += _seen(snapshot, self._told)
        found += _waits(snapshot, self._told)
        if observed.draining and not self._told.draining:
            self._told.draining = True
            found.append(("stopping", lines.stopping(snapshot)))
        suspended = observed.loop.spec.suspend and facts.condition(observed.loop, "Suspended") is not None
        if suspended and not self._told.suspended:
            self._told.suspended = True
            found.append(("suspended", words.suspended(snapshot.by_request)))
        if self._told.suspended and not observed.loop.spec.suspend:
            self._told.suspended = False
            found.append(("resumed", "the suspension has ended"))
        found.sort(key=lambda one: ORDER.index(one[0]))
        shown = {"opened": "iteration", "settled": "iteration"}
        # If an event and a condition produce the same text, it is shown once; preferably as what a person must act on.
        told = {text: label for label, text in reversed(found)}
        found = [one for one in found if told[one[1]] == one[0] and f"{facts.MUST_ACT}{one[1]}" not in told]
        return [Line(snapshot.active_seconds, shown.get(label, label), text) for label, text in found]


def progress(snapshot: Snapshot) -> Line:
    """A line with the current state, as a sign of life for the plain view."""
    if must := facts.must_act(snapshot):
        return Line(snapshot.active_seconds, "waiting", must)
    status, budget = snapshot.loop.status, snapshot.loop.spec.budget
    limit = f" of {budget.runs}" if budget.runs is not None else ""
    told = [
        f"iteration {snapshot.iteration}",
        f"{status.budget.used.runs}{limit} runs",
        *facts.running(snapshot)[:3],
    ]
    return Line(snapshot.active_seconds, "running", ", ".join(told))


def _resumed(snapshot: Snapshot) -> str:
    """The first line of a command that continues a campaign."""
    runs = words.counted(snapshot.loop.status.budget.used.runs, "run")
    return f"iteration {snapshot.iteration}; experiments {facts.counts(snapshot)}; {runs} so far"


def _seen(snapshot: Snapshot, told: _Told) -> Iterator[tuple[str, str]]:
    """New lines from the objects: label and text. Marks them as shown."""
    for experiment in snapshot.ordered():
        name = experiment.metadata.name
        if campaign_state.kept_number(experiment) and name not in told.kept:
            told.kept.add(name)
            yield "keep", lines.keep(experiment, snapshot)
        if name not in told.failed and (why := facts.failure(experiment, snapshot)) is not None:
            told.failed.add(name)
            yield "warning", why
        if name not in told.concluding and any(run.kind == "final" for run in experiment.status.runs):
            told.concluding.add(name)
            count = sum(run.kind == "final" for run in experiment.status.runs)
            yield "concluding", f"{snapshot.short(name)} meets the target; {count} fresh runs will confirm it or not"
    for name, iteration in snapshot.iterations.items():
        if name not in told.opened:
            told.opened.add(name)
            yield "opened", f"{snapshot.short(name)} opens{lines.purpose(iteration)}"
        if iteration.status.outcome is not None and name not in told.settled:
            told.settled.add(name)
            if not lines.closes(iteration):
                yield "settled", lines.settled(iteration, snapshot)
    directions = campaign_state.directions(snapshot.iterations)
    for index, one in enumerate(directions):
        if one.name not in told.directions:
            told.directions.add(one.name)
            yield "direction", lines.direction(one, directions[index - 1] if index else None, snapshot)


def _waits(snapshot: Snapshot, told: _Told) -> Iterator[tuple[str, str]]:
    """Lines about the start and the end of a wait, without which the campaign would appear to hang."""
    if facts.condition(snapshot.loop, "Degraded") is not None:
        return  # a condition that needs a person is shown as a warning
    one = facts.condition(snapshot.loop, "Progressing")
    # A reason without a message is normal progress, not a wait.
    reason, message = (one.reason, one.message) if one is not None and one.message else ("", "")
    if reason != told.waiting:
        if reason:
            yield "waiting", words.brief(message, snapshot.name)
        elif one is not None and one.status == "True":
            yield "resumed", f"{told.waiting} has ended"
    told.waiting = reason


def _of(event: Event, snapshot: Snapshot) -> tuple[str, str] | None:
    """An event's label and text; None if another line covers it."""
    if event.reason in SEEN or (event.reason in OF_CANDIDATES and not event.object.endswith("-b01")):
        return None
    label = LABELS.get(event.reason, "warning" if event.type == "Warning" else "event")
    if label == "complete" and not campaign_state.finished(snapshot.loop):
        label = "outcome"
    if event.reason == "Accepted":
        return label, "the manifest is valid, the task is sealed; measuring the baseline"
    told = facts.baseline(snapshot) if event.reason == "BaselineMeasured" else ""
    if told:
        told = f"{snapshot.loop.spec.objective.metric} {told}"
    if label == "failed":
        told = lines.failed(event.message, snapshot.name)
    told = told or words.brief(event.message, snapshot.name)
    degraded = facts.condition(snapshot.loop, "Degraded")
    acts = degraded is not None and degraded.reason == event.reason
    return label, f"{facts.MUST_ACT}{told}" if acts else told

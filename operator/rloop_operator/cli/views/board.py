"""The state of a campaign as a few labelled rows.

Called by `rloop status` and by the live view of `rloop run`: the same rows, in a panel on a terminal and as plain
lines elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from rloop import campaign_state, names
from rloop.api.loop_status import Used
from rloop.api.researchloop import Budget
from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.cli.terminal import words
from rloop_operator.cli.views import facts

LESS_IMPORTANT = ("goal", "experiments", "iteration", "direction", "baseline", "later value", "attention", "budget")
"""Rows that a terminal with few lines leaves out, the least important first."""
NOW_MAX = 4
"""Maximum number of running sessions and runs that are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Row:
    """A label and its text."""

    label: str
    text: str
    style: str = ""


def rows(snapshot: Snapshot, *, narrow: bool = False) -> list[Row]:
    """The rows of the campaign; `narrow` shortens texts for a terminal of 80 columns."""
    loop = snapshot.loop
    found = [Row("goal", words.goal(loop.spec.objective))]
    if (ending := loop.status.ending) is not None:
        found.append(Row("outcome", words.brief(ending.message, snapshot.name)))
    found += _trouble(snapshot)
    found += _values(snapshot)
    found += _where(snapshot, narrow=narrow)
    found.append(Row("experiments", facts.counts(snapshot)))
    found.append(Row("budget", spent(loop.spec.budget, loop.status.budget.used, snapshot.active_seconds)))
    if snapshot.suspended:
        found.append(Row("suspended", words.suspended(snapshot.by_request), "yellow"))
    if not campaign_state.finished(loop):
        asked = loop.metadata.annotations.get(names.ANNOTATION_PIVOT)
        if asked and asked != loop.status.last_handled.pivot:
            found.append(Row("pivot", "requested by rloop pivot, not applied yet", "yellow"))
        found.append(Row("now", now(snapshot)))
    return found


def state(snapshot: Snapshot) -> tuple[str, str]:
    """The campaign's state in a few words, and its colour."""
    loop = snapshot.loop
    failed, complete = facts.condition(loop, "Failed"), facts.condition(loop, "Complete")
    if failed is not None:
        return f"Failed: {failed.reason}", "bold red"
    if complete is not None:
        good = facts.exit_code(loop) == facts.TARGET_MET
        return f"Complete: {complete.reason}", "bold green" if good else "bold yellow"
    if snapshot.suspended:
        return f"{loop.status.phase}, suspended", "yellow"
    if facts.condition(loop, "PlateauDetected") is not None:
        return f"{loop.status.phase}, pivot demanded", "yellow"
    return loop.status.phase, "bold cyan"


def panel(snapshot: Snapshot, subtitle: str = "", without: Sequence[str] = ()) -> RenderableType:
    """The rows in a frame, for a terminal."""
    told, style = state(snapshot)
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", no_wrap=True, min_width=11)
    grid.add_column(overflow="fold")
    for row in rows(snapshot, narrow=True):
        if row.label in without:
            continue
        grid.add_row(row.label, Text(row.text, style=row.style))
    title = Text.assemble((words.line(snapshot.name), "bold"), "  ", (told, style))
    time = Text(words.duration(snapshot.active_seconds), style="dim")
    return Panel(
        Group(grid),
        title=title,
        title_align="left",
        subtitle=Text(subtitle, style="dim") if subtitle else time,
        subtitle_align="right",
        border_style="dim",
    )


def plain(snapshot: Snapshot) -> list[str]:
    """The rows as lines, for a pipe."""
    told, _ = state(snapshot)
    lines = [Row("campaign", snapshot.name), Row("state", told), *rows(snapshot)]
    return [f"{row.label:<12} {row.text}" for row in lines]


def _trouble(snapshot: Snapshot) -> list[Row]:
    """Conditions that need a person's attention."""
    found: list[Row] = []
    texts: list[str] = []
    must_act = facts.must_act(snapshot)
    # Degraded first: others quote its message, which is not repeated.
    for one in sorted(snapshot.loop.status.conditions, key=lambda one: one.type != "Degraded"):
        bad = "False" if one.type == "Accepted" else "True"
        if one.type in ("Accepted", "NeedsAttention", "Degraded", "Failed", "Complete") and one.status == bad:
            label = {"Accepted": "refused", "NeedsAttention": "attention", "Complete": "ended"}
            style = "" if one.type == "Complete" else "yellow" if one.type == "NeedsAttention" else "red"
            told = words.brief(one.message or one.reason, snapshot.name)
            shown = f"{facts.MUST_ACT}{told}" if must_act == f"{facts.MUST_ACT}{told}" else told
            quoted = next((text for text in texts if told != text and told.endswith(text)), "")
            shown = shown.removesuffix(quoted).removesuffix("; the newest: ") if quoted else shown
            if all(shown != row.text for row in found):
                found.append(Row(label.get(one.type, one.type.lower()), shown, style))
                texts.append(told)
    return found + _of_the_controller(snapshot, texts)


def _of_the_controller(snapshot: Snapshot, told: list[str]) -> list[Row]:
    """The reason why work waits, and Ready and Stalled if they add to `told`, the texts shown already."""
    progressing = facts.condition(snapshot.loop, "Progressing")
    waits = words.brief(progressing.message, snapshot.name) if progressing is not None else ""
    if snapshot.live is not None:  # without an operator no session opens
        waits = waits.partition(campaign_state.NEXT_SESSION)[0].removesuffix("; ")
    found = [Row("waiting", waits, "yellow")] if waits and waits not in told else []
    for type_, bad in (("Ready", "False"), ("Stalled", "True")):
        one = next((one for one in snapshot.loop.status.conditions if one.type == type_), None)
        if one is None or one.status != bad:
            continue
        text = words.brief(one.message or one.reason, snapshot.name)
        if text not in told:
            label = "stalled" if type_ == "Stalled" else "not ready"
            found.append(Row(label, f"{one.reason}: {text}" if one.message else text, "red"))
            told = [*told, text]
    return found


def _values(snapshot: Snapshot) -> list[Row]:
    status = snapshot.loop.status
    found = []
    baseline, best, final = status.baseline, status.best, status.final
    if baseline is not None:
        found.append(Row("baseline", facts.baseline(snapshot)))
    if best is not None and baseline is not None and best.experiment != baseline.experiment:
        value, later = facts.of_best(best, snapshot)
        unconfirmed = ", unconfirmed" if best.unconfirmed else ""
        told = f"{facts.figure(value, snapshot)}, {facts.over_baseline(value.value, snapshot)}"
        found.append(Row("best", f"{snapshot.short(best.experiment)}  {told}{unconfirmed}", "bold green"))
        if later is not None:
            gain = facts.over_baseline(later.value, snapshot)
            found.append(Row("later value", f"{facts.figure(later, snapshot)}, {gain}"))
    elif best is not None:
        yet = "" if campaign_state.finished(snapshot.loop) else " yet"
        found.append(Row("best", f"the baseline; no experiment was kept{yet}"))
    if final is not None:
        told = words.interval(final.value, final.low, final.high, snapshot.noise)
        met = "target confirmed" if final.met else "target missed"
        found.append(Row("final", f"{told} over {words.counted(final.n, 'fresh run')}, {met}"))
    return found


def _where(snapshot: Snapshot, *, narrow: bool) -> list[Row]:
    status = snapshot.loop.status
    found = []
    direction = facts.best_direction(snapshot) if campaign_state.finished(snapshot.loop) else status.current_direction
    if direction is not None:
        changed = words.frame(direction.frame, snapshot.base_frame)
        told = changed or words.line(direction.title, 60 if narrow else 160)
        whose = " (the best's)" if campaign_state.finished(snapshot.loop) else ""
        found.append(Row("direction", f"{snapshot.short(direction.name)}{whose}  {told}"))
    found.append(
        Row(
            "iteration",
            f"{snapshot.iteration}  {facts.stale(snapshot)}  pivots {status.pivots}",
        )
    )
    return found


def limits(budget: Budget) -> str:
    """The limits that are set: `400 runs, 30:00 active`."""
    told = [words.counted(budget.runs, "run")] if budget.runs is not None else []
    if budget.experiments is not None:
        told.append(words.counted(budget.experiments, "experiment"))
    if budget.active_seconds is not None:
        told.append(f"{words.duration(budget.active_seconds)} active")
    others = (("CPU s", budget.cpu_seconds), ("GPU s", budget.gpu_seconds), ("tokens", budget.tokens))
    told += [f"{limit} {name}" for name, limit in others if limit is not None]
    if budget.cost is not None:
        told.append(f"cost {budget.cost}")
    return ", ".join(told) or "without a limit"


def spent(budget: Budget, used: Used, active: float) -> str:
    """The usage with its limits: `47 of 400 runs, 0:46 of 30:00 active`."""
    told = [_of(used.runs, budget.runs, "runs")]
    if budget.experiments is not None:
        told.append(_of(used.experiments, budget.experiments, "experiments"))
    told.append(_active(budget.active_seconds, active))
    for name, spent_, limit_ in (
        ("CPU s", used.cpu_seconds, budget.cpu_seconds),
        ("GPU s", used.gpu_seconds, budget.gpu_seconds),
    ):
        if limit_ is not None:
            told.append(f"{spent_:.0f} of {limit_} {name}")
    if used.tokens or budget.tokens is not None:
        told.append(_of(used.tokens, budget.tokens, "tokens"))
    if used.cost or budget.cost is not None:
        told.append(f"cost {words.number(used.cost)}" + (f" of {budget.cost}" if budget.cost is not None else ""))
    return ", ".join(told)


def _active(limit: int | None, active: float) -> str:
    """The active time: `0:40 of 0:40 active, 0:21 more for work in progress`."""
    if limit is None:
        return f"{words.duration(active)} active"
    over = f", {words.duration(active - limit)} more for work in progress" if active >= limit + 1 else ""
    return f"{words.duration(min(active, limit))} of {words.duration(limit)} active{over}"


def _of(used: int, limit: int | None, noun: str) -> str:
    return f"{used} {noun}" if limit is None else f"{used} of {limit} {noun}"


def now(snapshot: Snapshot) -> str:
    """The sessions and runs that run now, and those that were interrupted when the last operator ended."""
    found, cut_off = facts.running(snapshot), facts.cut_off(snapshot)
    told = _few(found) or "nothing"
    if found and snapshot.live is not None:
        told = f"{told}, in the background"
    return f"{told}; to be resumed: {_few(cut_off)}" if cut_off else told


def _few(found: list[str]) -> str:
    more = f", and {len(found) - NOW_MAX} more" if len(found) > NOW_MAX else ""
    return f"{', '.join(found[:NOW_MAX])}{more}"

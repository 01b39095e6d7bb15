"""`rloop directions` and `rloop findings`: the directions that were tried, and the findings.

Called by the command line. The same records are in state/directions_tried.json and state/findings.jsonl.
"""

from __future__ import annotations

from rloop import figures
from rloop_operator.cli.sources.source import Source
from rloop_operator.cli.terminal import words
from rloop_operator.cli.terminal.output import Format, emit, table
from rloop_operator.cli.views import facts
from rloop_operator.local.protocol import lines


def directions(source: Source, form: Format) -> None:
    """Print the directions that were tried, oldest first."""
    snapshot = source.look()
    records = lines.directions(snapshot.loop, snapshot.iterations, snapshot.experiments.values())
    if form is not Format.TABLE:
        emit(records, form)
        return
    if not records:
        print("no direction yet")
        return
    rows = []
    before: dict[str, str] = {}
    for one in records:
        fields = ", ".join(f"{name}: {value}" for name, value in one["fields"].items())
        changed = words.frame(one["frame"], before) if before else "the first frame"
        before = one["frame"]
        title = words.line(one["title"], 80)
        best = figures.value(snapshot.experiments[one["best_experiment"]]) if one["best_experiment"] else None
        rows.append(
            (
                snapshot.short(one["name"]),
                str(one["pivot"] or words.DASH),
                str(one["experiments"]),
                str(one["keeps"]),
                words.DASH if best is None else facts.without_interval(best, snapshot),
                words.DASH if best is None else snapshot.short(one["best_experiment"]),
                (changed or title) if one["frame"] else f"{title} ({words.line(fields, 160)})",
            )
        )
    table(("NAME", "PIVOT", "EXPERIMENTS", "KEPT", "BEST", "OF", "WHAT CHANGED"), rows, right=(1, 2, 3, 4))


def findings(source: Source, form: Format) -> None:
    """Print the findings, oldest first."""
    snapshot = source.look()
    records = lines.findings(snapshot.iterations.values(), snapshot.experiments.values())
    if form is not Format.TABLE:
        emit(records, form)
        return
    if not records:
        print("no finding yet")
        return
    rows = []
    for one in records:
        value = one.get("value")
        rows.append(
            (
                snapshot.short(one["name"]),
                _kind(one),
                str(one["iteration"]),
                words.DASH if value is None else words.interval(value, one["low"], one["high"], snapshot.noise),
                words.DASH if value is None else str(one["runs"]),
                words.line(", ".join(snapshot.short(name) for name in one["evidence"]), 60),
                words.line(words.inside(one["statement"], snapshot.name)),
            )
        )
    table(("NAME", "KIND", "ITER", "VALUE", "RUNS", "EVIDENCE", "STATEMENT"), rows, right=(2, 4), spare=(2, 5, 4))


def _kind(record: lines.Record) -> str:
    """The kind of a finding; for a statement with the checker's verdict: `statement, refuted`."""
    if record["kind"] != "statement":
        return str(record["kind"])
    return f"statement, {str(record['checked'] or 'unchecked').lower()}"

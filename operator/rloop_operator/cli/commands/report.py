"""`rloop report`: the campaign as one Markdown text, for people who did not follow it.

Called by the command line. The report is a function of the stored objects: numbers are the verifier's, and every
statement of an agent is shown with its evidence and the verdict of a checker. Texts of agents are shown as code, so
that their markup has no effect and they cannot be mistaken for text of rloop.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rloop import campaign_state, figures
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import Finding
from rloop_operator.cli.commands.detail import difference
from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.cli.sources.source import Source
from rloop_operator.cli.terminal import words
from rloop_operator.cli.views import board, facts, result

LEGEND = (
    "- **value**: what the experiment was judged on, with its 95 % confidence interval: the mean of the runs of the",
    "  verdict. That of a kept experiment excludes the screening run, which selected it. Before a verdict, and of a",
    "  withdrawn candidate, it is the mean of the runs so far, which may be one lucky run.",
    "- **runs**: number of runs behind the value.",
    "- **gain**: in the first table that of the value over the baseline. In the other tables over the incumbent of",
    "  its time (**over**), from all runs that the incumbent had then. Positive is better, whether the metric is",
    "  minimized or maximized.",
    "- **later value**: mean of the runs behind the value and of those added since to compare challengers with it.",
    "- **claimed**: what the runs behind the value reported themselves. **seconds**: wall time of all attempts.",
    "- **final**: fresh runs for the conclusion, scored on `finalHeldOut` if given. **dev-final gap**: difference",
    "  from the later value, or from the value if no run was added.",
    "- **BelowScreen**: the first run showed too little gain. **BelowConfirm**, **NotBetter**: the gain of",
    "  further runs was not significant.",
    "- Agents see values rounded to half a unit of noise. A checker is a fresh session of the same agent that",
    "  sees only the claims and the measurements.",
)
VERDICTS = {
    "Supported": "Supported, by a fresh session that saw only the claim and the measurements",
    None: "Not checked: stated by an agent only",
    "Refuted": "Refuted, by a fresh session that saw only the claim and the measurements",
}


def report(source: Source) -> None:
    """Print the report."""
    print("\n".join(text(source.look(), source)))


def text(snapshot: Snapshot, source: Source) -> Iterator[str]:
    """The lines of the report."""
    over = campaign_state.finished(snapshot.loop)
    yield f"# {plain(snapshot.name)}: {plain(result.headline(snapshot) if over else board.state(snapshot)[0])}"
    yield ""
    yield f"> {plain(snapshot.loop.spec.direction)}"
    yield ""
    rows = (
        *_outcome(snapshot),
        *result.numbers(snapshot),
        board.Row("agent", facts.agent(snapshot.loop.spec.agent)),
    )
    yield from _table(("", ""), ((one.label, cell(one.text)) for one in rows))
    yield from _statements(snapshot)
    yield from _kept(snapshot)
    yield from _change(snapshot, source)
    yield from _directions(snapshot)
    yield from _experiments(snapshot)
    yield from ("", "## How to read this", "", *LEGEND)


def plain(text: str) -> str:
    """Text of rloop or of the user on one line, with Markdown and HTML characters escaped."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", words.line(text))


def quoted(text: str) -> str:
    """Text of an agent on one line as a code span, so that no renderer turns it into a list, a link or a formula."""
    told = words.line(text)
    if not told:
        return ""
    fence = _fence(told, 1)
    edge = " " if "`" in (told[0], told[-1]) else ""
    return f"{fence}{edge}{told}{edge}{fence}"


def _fence(text: str, least: int) -> str:
    """At least `least` backticks, and more than the longest sequence of backticks in the text."""
    return "`" * max(least, 1 + max(map(len, re.findall("`+", text)), default=0))


def cell(text: str) -> str:
    """`quoted` text for a table. Renderers differ in how a code span escapes a bar there, so `|` becomes `¦`."""
    return quoted(text).replace("|", "¦")


def _outcome(snapshot: Snapshot) -> Iterator[board.Row]:
    """Facts missing in the headline: why the campaign failed, or its outcome while the report is being written."""
    failed = facts.condition(snapshot.loop, "Failed")
    told = failed.message if failed is not None else ending.message if (ending := snapshot.loop.status.ending) else ""
    if told:
        yield board.Row("outcome", words.brief(told, snapshot.name))


def _statements(snapshot: Snapshot) -> Iterator[str]:
    yield from ("", "## Findings", "")
    # Statements of the final report come first, because its session saw all results.
    iterations = sorted(snapshot.iterations.values(), key=lambda one: one.spec.sessions[0].role != "Report")
    found = [finding for iteration in iterations for finding in iteration.status.reported.findings]
    groups = []
    for verdict, told in VERDICTS.items():
        own = [line for one in found if one.checked == verdict for line in _statement(one, snapshot)]
        if own:
            groups.append("\n".join((f"{told}:", "", *own)))
    yield "\n\n".join(groups) or _no_statement(snapshot)


def _statement(finding: Finding, snapshot: Snapshot) -> Iterator[str]:
    yield f"- {quoted(words.inside(finding.statement, snapshot.name))}"
    yield f"    - evidence: {', '.join(_link(name, snapshot) for name in finding.evidence)}"
    if finding.reason:
        yield f"    - the checker: {quoted(words.inside(finding.reason, snapshot.name))}"


def _no_statement(snapshot: Snapshot) -> str:
    kept = any(campaign_state.kept_number(one) for one in snapshot.experiments.values())
    return "No statement of an agent." + (" The findings are the keeps below." if kept else "")


def _link(name: str, snapshot: Snapshot) -> str:
    shown = snapshot.short(name)
    return f"[{shown}](#{shown})" if name in snapshot.experiments else shown


def _kept(snapshot: Snapshot) -> Iterator[str]:
    kept = sorted(filter(campaign_state.kept_number, snapshot.experiments.values()), key=campaign_state.kept_number)
    if not kept:
        return
    yield from ("", "## Kept experiments", "")
    rows = []
    for one in kept:
        link, (value, *others) = _link(one.metadata.name, snapshot), _figures(one, snapshot)
        if one.status.verdict is not None and one.status.verdict.unconfirmed:
            value += ", unconfirmed"
        rows.append((link, value, *others, cell(facts.what(one, snapshot))))
    yield from _table(("kept", "value", "runs", "gain", "over", "what it is"), rows)


def _change(snapshot: Snapshot, source: Source) -> Iterator[str]:
    best = snapshot.loop.status.best
    experiment = snapshot.experiments.get(best.experiment) if best is not None else None
    lines = [words.clean(one) for one in difference(source, experiment, snapshot)] if experiment is not None else []
    if lines:
        fence = _fence("\n".join(lines), 3)
        yield from ("", "## Changes of the best experiment", "", f"{fence}diff", *lines, fence)


def _figures(one: ResearchExperiment, snapshot: Snapshot) -> tuple[str, str, str, str]:
    """Value, number of runs, gain and what it is over, as text."""
    found, gain, verdict = figures.value(one), figures.gain(one), one.status.verdict
    over = verdict.compared_with if verdict is not None and gain is not None else None
    return (
        words.DASH if found is None else facts.interval(found, snapshot),
        "0" if found is None else str(found.runs),
        words.DASH if gain is None else words.number(gain, snapshot.noise),
        words.DASH if over is None else _link(over, snapshot),
    )


def _directions(snapshot: Snapshot) -> Iterator[str]:
    tried = campaign_state.directions(snapshot.iterations)
    if not tried:
        return
    yield from ("", "## Directions", "")
    rows = []
    for one in tried:
        own = snapshot.by_direction.get(one.name, [])
        what = words.frame(one.frame, {}) or ", ".join(f"{name}: {value}" for name, value in one.fields.items())
        demanded = "after a plateau" if one.pivot else ""
        rows.append((snapshot.short(one.name), cell(one.title), cell(what), demanded, facts.outcome(own)))
    yield from _table(("name", "title", "change", "", "result"), rows)


def _experiments(snapshot: Snapshot) -> Iterator[str]:
    yield from ("", "## Experiments", "")
    rows = []
    for one in snapshot.ordered():
        if one.spec.kind == "Smoke":
            continue
        name, verdict = snapshot.short(one.metadata.name), one.status.verdict
        why = "" if verdict is None or verdict.keep else verdict.reason
        phase = f"{one.status.phase}, {why}" if why and why != one.status.phase else one.status.phase
        value, runs, gain, over = _figures(one, snapshot)
        claimed, took = figures.claimed(one), facts.seconds(one)
        told = words.DASH if claimed is None else words.number(claimed, snapshot.noise)
        seconds = f"{took:.1f}" if took else words.DASH
        what = cell(facts.what(one, snapshot))
        rows.append((f'<a id="{name}"></a>{name}', what, value, runs, told, gain, over, seconds, phase))
    yield from _table(("name", "title", "value", "runs", "claimed", "gain", "over", "seconds", "result"), rows)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    heads = tuple(heads)
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"

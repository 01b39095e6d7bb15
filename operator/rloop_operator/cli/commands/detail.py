"""`rloop experiments NAME`: one experiment with its runs, its changes and its verdict.

Called by the command line. The changes are shown relative to the unchanged task and not to the parent, because an
experiment is defined as a change of the task.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from rich.text import Text

from rloop import campaign_state, figures, names
from rloop.api.experiment import ResearchExperiment, Run
from rloop_operator.cli.sources.snapshot import Snapshot, full_name
from rloop_operator.cli.sources.source import Source
from rloop_operator.cli.terminal import words
from rloop_operator.cli.terminal.output import Format, columns, console, document, emit, is_rich
from rloop_operator.cli.views import facts

HEADINGS = ("RUN", "KIND", "PHASE", "SEED", "VALUE", "CLAIMED", "SECONDS", "REASON")
RIGHT = frozenset({0, 3, 4, 5, 6})
DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def detail(name: str, source: Source, form: Format) -> None:
    """Print the experiment `name`. Raises NotFound."""
    snapshot = source.look()
    experiment = snapshot.experiments[full_name(name, snapshot.experiments, snapshot.name, "experiment")]
    if form is not Format.TABLE:
        emit(document(experiment), form)
        return
    for text in (*_facts(experiment, snapshot, source), "", *_runs(experiment, snapshot)):
        print(text)
    _print_difference(list(difference(source, experiment, snapshot)))
    for text in _last_words(experiment, source):
        print(text)


def _facts(experiment: ResearchExperiment, snapshot: Snapshot, source: Source) -> Iterator[str]:
    spec, verdict = experiment.spec, experiment.status.verdict
    rows = {"experiment": experiment.metadata.name, "title": words.line(spec.title)}
    if spec.session is not None:
        rows["proposed by"] = f"{snapshot.short(spec.session)} in iteration {spec.iteration}"
    if spec.direction is not None:
        rows["direction"] = snapshot.short(spec.direction)
    if spec.frame:
        rows["frame"] = words.frame(spec.frame, {})
    if spec.parent is not None:
        rows["parent"] = snapshot.short(spec.parent)
    rows["phase"] = experiment.status.phase
    rows |= dict(_figures(experiment, snapshot))
    if verdict is not None:
        gain = facts.over_incumbent(experiment, snapshot)
        gain = f", {gain}" if gain else ""
        certainty = f", z {verdict.z:.2f}" if verdict.z is not None else ""
        message = f": {words.brief(verdict.message, snapshot.name)}" if verdict.message else ""
        rows["verdict"] = f"{verdict.reason}{gain}{certainty}{message}"
    if (named := facts.artifacts(experiment)) is not None:
        run, others = named
        rows["artifacts"] = f"{source.artifacts_of(experiment.metadata.name, run, snapshot)}{others}"
    for label, text in rows.items():
        yield f"{label:<12} {text}"


def _figures(experiment: ResearchExperiment, snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """The rows with the figures of the experiment. The kinds of the runs show which of those below are behind it."""
    metric, value, final = snapshot.loop.spec.objective.metric, figures.value(experiment), snapshot.loop.status.final
    if value is None:
        return
    kinds = ", ".join(dict.fromkeys(run.kind for run in figures.behind(experiment)))
    yield "value", f"{metric} {facts.figure(value, snapshot)}{f' ({kinds})' if kinds else ''}"
    if (later := facts.later(experiment, snapshot)) is not None:
        yield "later value", f"{metric} {facts.figure(later, snapshot)}"
    if final is not None and final.experiment == experiment.metadata.name:
        told = words.interval(final.value, final.low, final.high, snapshot.noise)
        yield "final", f"{metric} {told} over {words.counted(final.n, 'fresh run')}"
    claimed = figures.claimed(experiment)
    if claimed is not None:
        yield "claimed", words.number(claimed, snapshot.noise)
    if campaign_state.kept_number(experiment):
        yield "gain", facts.over_baseline(value.value, snapshot).removeprefix("gain ")


def _runs(experiment: ResearchExperiment, snapshot: Snapshot) -> list[str]:
    if not experiment.status.runs:
        return ["no run yet"]
    return columns(HEADINGS, [_run(run, snapshot.noise) for run in experiment.status.runs], RIGHT)


def _run(run: Run, noise: float) -> tuple[str, ...]:
    seconds = run.attempts[-1].usage.wall_seconds if run.attempts else 0.0
    tries = f" (attempt {len(run.attempts)})" if len(run.attempts) > 1 else ""
    return (
        str(run.number),
        run.kind,
        f"{run.phase}{tries}",
        str(run.seed),
        words.number(run.value, noise) if run.value is not None else words.DASH,
        words.number(run.claimed, noise) if run.claimed is not None else words.DASH,
        f"{seconds:.1f}" if seconds else words.DASH,
        run.reason or "",
    )


def difference(source: Source, experiment: ResearchExperiment, snapshot: Snapshot) -> Iterator[str]:
    """Unified diff of the experiment's files against the task."""
    task, changed = source.files(names.task(snapshot.name)), source.files(experiment.metadata.name)
    for path, file in sorted(changed.items()):
        old = task[path].content if path in task else b""
        try:
            before, after = old.decode().splitlines(), file.content.decode().splitlines()
        except UnicodeDecodeError:
            yield f"{path}: {len(old)} bytes became {len(file.content)}"
            continue
        yield from difflib.unified_diff(before, after, f"task/{path}", path, lineterm="")


def _print_difference(lines: list[str]) -> None:
    if not lines:
        return
    print()
    output = console()
    for text in map(words.clean, lines):
        if is_rich(output):
            output.print(Text(text, style=DIFF_STYLES.get(text[:1], "")))
        else:
            print(text)


def _last_words(experiment: ResearchExperiment, source: Source) -> Iterator[str]:
    """The end of the log of the failed workload, or of the newest attempt; for a verification first why it failed."""
    last = facts.last_words(experiment)
    if last is None:
        return
    name, tail = last
    reason = _of_scoring(experiment, name)
    if reason is not None:
        why, tail = tail, source.end_of_log(name)
        if words.line(why) not in words.line(tail):
            yield from ("", f"why {name} failed ({reason}):", *_indented(why))
    if tail.strip():
        yield from ("", f"the end of {source.log_of(name)}{_of_several(experiment, name)}:", *_indented(tail))


def _indented(text: str) -> Iterator[str]:
    return (f"  {one}" for one in words.clean(text).rstrip().splitlines())


def _of_scoring(experiment: ResearchExperiment, workload: str) -> str | None:
    """The reason why this verification failed; None if the workload is not a verification."""
    for run in experiment.status.runs:
        for scoring in run.verifications:
            if workload == names.verification(experiment.metadata.name, run.number, scoring.number):
                return scoring.reason or "failed"
    return None


def _of_several(experiment: ResearchExperiment, workload: str) -> str:
    """The number of the attempt in brackets; empty if its run had only one."""
    for run in experiment.status.runs:
        for attempt in run.attempts:
            if len(run.attempts) > 1 and workload == names.attempt(
                experiment.metadata.name, run.number, attempt.number
            ):
                return f" (attempt {attempt.number} of {len(run.attempts)})"
    return ""

"""The result of a campaign, printed at the end of `rloop run`.

Called when a campaign ends, when it is interrupted, and when a finished run folder is run again.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rloop import campaign_state, figures, names
from rloop.figures import Figure
from rloop_operator.cli.sources.read_folder import Found
from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.cli.terminal import words
from rloop_operator.cli.terminal.output import is_rich
from rloop_operator.cli.terminal.program import program
from rloop_operator.cli.views import board, facts


def show(found: Found, output: Console, manifest: Path, left: Sequence[str] = (), stopped: Sequence[str] = ()) -> None:
    """Print how the campaign ended, the numbers, the workloads `left` running or `stopped`, and the next commands."""
    snapshot, where = found.snapshot, words.path(found.folder.root)
    rows = [*numbers(snapshot), *_artifacts(found), board.Row("folder", where)]
    if must := facts.must_act(snapshot):
        rows.append(board.Row("attention", must, "red"))
    if left:
        told = ", ".join(snapshot.short(one) for one in left)
        rows.append(
            board.Row("still runs", f"{told}; the same command resumes it, pressing Ctrl-C twice stops it", "yellow")
        )
    if stopped:
        told = ", ".join(snapshot.short(one) for one in stopped)
        rows.append(board.Row("stopped", f"{told}; the same command repeats it from its start or checkpoint", "yellow"))
    _, style = board.state(snapshot)
    rich = is_rich(output)
    if rich:
        output.print(Text(headline(snapshot), style=style))
        output.print()
        grid = Table.grid(padding=(0, 1))
        grid.add_column(style="dim", no_wrap=True, min_width=11)
        grid.add_column(overflow="fold")
        for row in rows:
            grid.add_row(f"  {row.label}", Text(row.text, style=row.style))
        output.print(grid)
    else:
        print(headline(snapshot), "", *(f"  {row.label:<11} {row.text}" for row in rows), sep="\n")
    print("", *_next(snapshot, where, words.path(manifest)), sep="\n", flush=True)


def headline(snapshot: Snapshot) -> str:
    """One line with how the campaign ended."""
    loop = snapshot.loop
    failed, complete = facts.condition(loop, "Failed"), facts.condition(loop, "Complete")
    if failed is not None:
        return f"Failed ({failed.reason})"
    if complete is None and facts.condition(loop, "Suspended") is not None:
        return f"Suspended: {words.suspended(snapshot.by_request)}; the same command then continues"
    if complete is None:
        return "Interrupted: nothing recorded is lost; the same command continues"
    told = words.inside(words.clean(complete.message), snapshot.name)
    if complete.reason == "TargetMetByBaseline":
        return f"Target met by the unchanged task: {told}"
    if facts.exit_code(loop) == facts.TARGET_MET:
        return f"Target met: {told}"
    goal = "ended without the target" if loop.spec.objective.target is not None else "ended"
    return f"{goal.capitalize()} ({complete.reason}): {told}"


def failure(found: Found) -> Iterator[str]:
    """Lines for stderr: why the campaign failed, with the end of the failed workload's log. Empty if it has not."""
    snapshot = found.snapshot
    failed = facts.condition(snapshot.loop, "Failed")
    if failed is None:
        return
    message = f"{failed.reason}: {words.clean(failed.message).strip()}"
    last = _of_the_baseline(snapshot)
    if last is None:
        yield message
    else:
        name, tail = last
        log, told = words.path(found.folder.workload_log(name)), words.clean(tail).strip()
        if told in message:
            yield message
            yield f"its log: {log}"
        else:
            yield _without(message, told)
            yield f"the end of {log}:"
            yield from (f"  {one}" for one in told.splitlines())
    where = words.path(found.folder.root)
    yield f'This run cannot be continued. After the correction use another --dir, or delete "{where}", and run again.'


def _of_the_baseline(snapshot: Snapshot) -> tuple[str, str] | None:
    """The workload and the end of its log for the first failed run of the baseline, which the message is about."""
    baseline = snapshot.experiments.get(names.baseline(snapshot.name))
    if baseline is None:
        return None
    broken = next((run.number for run in baseline.status.runs if run.phase == "Failed"), None)
    return None if broken is None else facts.last_words(baseline, broken)


def _without(message: str, tail: str) -> str:
    """The message without the part that quotes the end of the tail, because the tail is printed in full."""
    starts = (at for at in range(len(message)) if tail.endswith(message[at:]))
    return message[: next(starts, len(message))].rstrip().removesuffix("Last output:").rstrip()


def numbers(snapshot: Snapshot) -> Iterator[board.Row]:
    """The measured values and the effort. `rloop report` begins with these rows too."""
    loop = snapshot.loop
    status, objective = loop.status, loop.spec.objective
    yield board.Row("goal", words.goal(objective))
    baseline, best, final = status.baseline, status.best, status.final
    if baseline is not None:
        yield board.Row("baseline", facts.baseline(snapshot))
        if best is not None and best.experiment == baseline.experiment and best.n > baseline.n:
            yield board.Row("later value", facts.figure(Figure(best.value, best.low, best.high, best.n), snapshot))
    if best is not None and baseline is not None and best.experiment != baseline.experiment:
        value, later = facts.of_best(best, snapshot)
        experiment = snapshot.experiments.get(best.experiment)
        title = f"  {facts.what(experiment, snapshot)}" if experiment is not None else ""
        yield board.Row("best", f"{snapshot.short(best.experiment)}{title}")
        source = ", its only run, unconfirmed" if best.unconfirmed else " after the screening run"
        yield board.Row("value", f"{facts.figure(value, snapshot)}{source}")
        claimed = figures.claimed(experiment) if experiment is not None else None
        if claimed is not None:
            unit = (value.high - value.low) / 2 if value.low is not None and value.high is not None else 0.0
            gap = claimed - value.value
            told = "agrees with" if abs(gap) <= unit else f"{_difference(gap, value.value, snapshot.noise)} from"
            shown = words.number(claimed, snapshot.noise)
            yield board.Row("claimed", f"{shown} by the same runs on what they saw ({told} the verifier's value)")
        yield board.Row("gain", facts.over_baseline(value.value, snapshot).removeprefix("gain "))
        if later is not None:
            gain = facts.over_baseline(later.value, snapshot)
            yield board.Row("later value", f"{facts.figure(later, snapshot)}, {gain}")
    elif best is not None:
        yield board.Row("best", f"the baseline: {_why_nothing_was_kept(snapshot)}")
    if (lead := status.lead) is not None:
        told = f"{words.number(lead.value, snapshot.noise)} over {words.counted(lead.n, 'run')}"
        left = f"undecided, at most {words.counted(lead.runs_left, 'more run')} of its own"
        gain = f"gain {words.number(lead.gain, snapshot.noise)}"
        if best is not None:
            gain = f"{gain} over the incumbent {snapshot.short(best.experiment)} ({words.counted(best.n, 'run')})"
        yield board.Row("lead", f"{snapshot.short(lead.experiment)}  {told}, {gain}; {left}")
    if final is not None:
        dev_gap = _difference(final.gap, final.value, snapshot.noise)
        told = words.interval(final.value, final.low, final.high, snapshot.noise)
        yield board.Row("final", f"{told} over {words.counted(final.n, 'fresh run')} (dev-final gap: {dev_gap})")
    yield from _way(snapshot)


def _artifacts(found: Found) -> Iterator[board.Row]:
    """The folder of the best experiment's artifacts. Each of its runs has artifacts; the first one's are named."""
    best = found.snapshot.loop.status.best
    experiment = found.snapshot.experiments.get(best.experiment) if best is not None else None
    if experiment is not None and (named := facts.artifacts(experiment)) is not None:
        run, others = named
        yield board.Row("artifacts", f"{words.path(found.folder.artifacts(experiment.metadata.name, run))}{others}")


def _why_nothing_was_kept(snapshot: Snapshot) -> str:
    if not campaign_state.finished(snapshot.loop):
        return "nothing was kept yet"
    if not any(one.spec.kind == "Candidate" for one in snapshot.experiments.values()):
        return "no change was tried"
    return "no change had a gain that is significant enough to keep"


def _difference(gap: float, value: float, noise: float) -> str:
    told = words.spread(abs(gap), value, noise)
    return "no difference" if not float(told) else f"{'+' if gap > 0 else '-'}{told}"


def _way(snapshot: Snapshot) -> Iterator[board.Row]:
    """The rows for direction, experiments and effort."""
    status = snapshot.loop.status
    kept = snapshot.experiments.get(status.best.experiment) if status.best is not None else None
    if kept is not None and kept.spec.frame:
        told = words.frame(kept.spec.frame, snapshot.base_frame)
        name = snapshot.short(kept.spec.direction) if kept.spec.direction else "the first direction"
        yield board.Row("direction", f"{name}  {told or 'initial frame'}")
    yield board.Row("tried", facts.counts(snapshot))
    pivots = words.counted(status.pivots, "pivot")
    iterations = words.counted(snapshot.iteration, "iteration")
    used = board.spent(snapshot.loop.spec.budget, status.budget.used, snapshot.active_seconds)
    yield board.Row("spent", f"{used}, {iterations}, {pivots}")


def _next(snapshot: Snapshot, where: str, manifest: str) -> Iterator[str]:
    """Suggested next commands, ready to be pasted."""
    yield "next:"
    found = list(_suggested(snapshot, shlex.quote(manifest)))
    wide = max(len(label) for label, _, _ in found)
    for label, first, verb in found:
        yield f"  {label:<{wide}}  {first}{program()} {verb} --dir {shlex.quote(where)}"


def _suggested(snapshot: Snapshot, manifest: str) -> Iterator[tuple[str, str, str]]:
    """Label, what must be done before the command, and the command without the program and the folder."""
    status = snapshot.loop.status
    best, baseline = status.best, names.baseline(snapshot.name)
    over = campaign_state.finished(snapshot.loop)
    if not over and snapshot.suspended and snapshot.by_request:
        yield "resume", "", "resume"
    elif not over:
        yield "continue", "suspend: false in the manifest, then " if snapshot.suspended else "", f"run {manifest}"
    elif facts.used_up(snapshot.loop):
        yield "continue", "raise spec.budget, then ", f"run {manifest}"
    if best is not None and best.experiment != baseline:
        yield "files of the best", "", f"experiments {snapshot.short(best.experiment)}"
    if any(one.spec.kind == "Candidate" for one in snapshot.experiments.values()):
        yield "experiments", "", "experiments"
    elif status.budget.used.runs:
        yield "baseline runs", "", f"experiments {snapshot.short(baseline)}"
    if campaign_state.directions(snapshot.iterations):
        yield "frames", "", "directions"
    yield "decisions", "", "logs"
    if status.baseline is not None:  # without one there is nothing to report, and nothing that could be a keep
        yield "full report", "", "report"
        if over:
            yield "check the keeps", "", "verify"

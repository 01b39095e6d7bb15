"""The texts of the lines of progress, from the stored objects.

Called by `story`, which decides when a line is shown and orders the lines.
"""

from __future__ import annotations

from rloop import figures
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import Direction, ResearchIteration
from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.cli.terminal import words
from rloop_operator.cli.views import facts

OUTCOMES = {"Keep": "kept", "Finding": "a finding", "Stale": "stale", "Neutral": "neutral", "Void": "void"}
CUT_SHORT = {
    "PivotDemanded": "a pivot ended it",
    "LoopFinished": "the campaign ended",
    "Held": "it was interrupted",
}
"""What ended the sessions of an iteration without a result, by their reason."""
FAILURE_MAX = 300
LAST_OUTPUT = "Last output: "


def failed(message: str, loop: str) -> str:
    """Why a campaign failed, on one line. The full text is printed at the end.

    If it is too long, the earlier lines of the quoted output go first, then how the run ended, and the end of the
    cause goes last.
    """
    before, _, output = message.partition(LAST_OUTPUT)
    cause = output.strip().rpartition("\n")[2]
    shorter = [f"{before}{LAST_OUTPUT}{cause}", f"{before.partition(': ')[0]}: {cause}"] if cause else []
    told = [words.brief(one, loop) for one in (message, *shorter)]
    return next((one for one in told if len(one) <= FAILURE_MAX), words.line(told[-1], FAILURE_MAX))


def stopping(snapshot: Snapshot) -> str:
    """What Ctrl-C does to the work in progress, and how it is continued."""
    sessions, runs = facts.in_progress(snapshot)
    told, resumes = [], []
    if sessions:
        told.append("the agent's session ends" if sessions == 1 else "the agents' sessions end")
        resumes.append("a new session" if sessions == 1 else "new sessions")
    if runs:
        of = "of the baseline" if snapshot.loop.status.baseline is None else "in progress"
        told.append(f"the run {of} continues" if runs == 1 else f"the runs {of} continue")
        told[-1] += " in the background"
        resumes.insert(0, "it" if runs == 1 else "them")
    if not told:
        return "ending; nothing is in progress; the same command continues"
    continues = f"the same command continues with {' and '.join(resumes)}"
    return f"ending; {', and '.join(told)}; {continues}; press Ctrl-C again to stop everything now"


def purpose(iteration: ResearchIteration) -> str:
    """The end of the line of an iteration that opens; empty for an ordinary one."""
    if does := closes(iteration):
        return f": {does}"
    return "; its first direction must change the frame" if iteration.spec.pivot_demanded else ""


def closes(iteration: ResearchIteration) -> str:
    """The purpose of a closing iteration (report or check); empty for all others."""
    purposes = {"Report": "the report is written", "Check": "the statements are checked"}
    (role, *others) = (one.role for one in iteration.spec.sessions)
    return "" if others else purposes.get(role, "")


def settled(iteration: ResearchIteration, snapshot: Snapshot) -> str:
    """`i0003 settles, neutral (a pivot ended it); 2 experiments: 2 rejected; stale 2 of 2`."""
    outcome = iteration.status.outcome
    own = snapshot.by_iteration.get(iteration.spec.number, [])
    named = OUTCOMES.get(outcome or "", "")
    if why := _why(iteration, snapshot):
        named = f"{named} ({why})"
    told = f"{snapshot.short(iteration.metadata.name)} settles, {named}; {facts.outcome(own)}"
    near = facts.closest(own)
    if near is not None and outcome != "Keep":
        told += f"; closest {snapshot.short(near.metadata.name)}, {facts.over_incumbent(near, snapshot)}"
    return f"{told}; {facts.stale(snapshot)}"


def _why(iteration: ResearchIteration, snapshot: Snapshot) -> str:
    """Why an iteration is neutral or void, and so not stale; empty for other outcomes."""
    reasons = [one.reason for one in iteration.status.sessions if one.reason]
    if iteration.status.outcome == "Void":
        failed = [one.reason for one in iteration.status.sessions if one.phase == "Failed" and one.reason]
        return ", ".join(dict.fromkeys(failed))
    if iteration.status.outcome != "Neutral":
        return ""
    if cut := [CUT_SHORT[one] for one in reasons if one in CUT_SHORT]:
        return cut[0]
    if snapshot.loop.status.generation == iteration.spec.generation:
        return CUT_SHORT["LoopFinished"]
    return f"a {'pivot' if snapshot.loop.status.pivots > iteration.spec.pivots else 'keep'} came first"


def keep(experiment: ResearchExperiment, snapshot: Snapshot) -> str:
    """`i0004-e2 loss 0.02879 [0.02581, 0.03177] over 9 runs; gain …; averaging=uniform`."""
    name, value = snapshot.short(experiment.metadata.name), figures.value(experiment)
    if value is None:
        return name
    told = [f"{name} {snapshot.loop.spec.objective.metric} {facts.figure(value, snapshot)}"]
    gains = [facts.over_baseline(value.value, snapshot), facts.over_incumbent(experiment, snapshot)]
    told += [", ".join(filter(None, gains)), facts.what(experiment, snapshot)]
    return "; ".join(filter(None, told))


def direction(one: Direction, before: Direction | None, snapshot: Snapshot) -> str:
    """`i0004-d1 (after a pivot) averaging=uniform`."""
    changed = words.frame(one.frame, before.frame) if before is not None else ""
    told = changed or words.line(one.title, 120)
    again = " (after a pivot)" if before is not None and one.pivot > before.pivot else ""
    return f"{snapshot.short(one.name)}{again} {told}"

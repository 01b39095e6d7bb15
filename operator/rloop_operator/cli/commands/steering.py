"""`rloop suspend`, `resume` and `pivot`: steer a running campaign.

Called by the command line. Each prints what was done and what happens next. A finished campaign is not changed.
"""

from __future__ import annotations

from rloop import campaign_state
from rloop.errors import RloopError
from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.cli.sources.source import Source
from rloop_operator.cli.views import board, facts
from rloop_operator.ports import Verb


def act(verb: Verb, source: Source) -> None:
    """Carry out the verb and print the result. Raises RloopError for a finished campaign."""
    snapshot = source.look()
    if campaign_state.finished(snapshot.loop):
        state, _ = board.state(snapshot)
        told = f"{snapshot.name} has ended ({state}) and cannot be continued; nothing was done"
        raise RloopError(f"{told}. To continue the search, start a new campaign under another name")
    if verb == "pivot" and snapshot.loop.status.ending is not None:
        told = "the outcome is decided, and only the report is still being written"
        raise RloopError(f"{snapshot.name}: {told}; nothing was done")
    if verb == "pivot" and snapshot.loop.status.sealed is not None and snapshot.loop.status.sealed.one_frame:
        told = "space.yaml has no structural dimension, so there is no other frame to pivot to"
        raise RloopError(f"{snapshot.name}: {told}; nothing was done")
    operator = source.operator(snapshot)
    if verb != "pivot" and snapshot.loop.spec.suspend == (verb == "suspend"):
        print(f"{snapshot.name} is suspended already" if verb == "suspend" else f"{snapshot.name} is not suspended")
        if not operator.alive and snapshot.suspended != (facts.condition(snapshot.loop, "Suspended") is not None):
            print(f"Nothing happens yet; operator: {operator.told}.")
        return
    after = source.ask(verb)
    print(f"{snapshot.name}: {_done(verb, snapshot, alive=operator.alive)}")
    if after:
        print(after)


def _done(verb: Verb, snapshot: Snapshot, *, alive: bool) -> str:
    spec, status = snapshot.loop.spec, snapshot.loop.status
    if verb == "suspend":
        ends = "finishes" if spec.suspend_policy == "Finish" else "is stopped and repeated later"
        told = f"work in progress {ends} (suspendPolicy {spec.suspend_policy}): {board.now(snapshot)}"
        running = told if facts.running(snapshot) else "nothing is running"
        return f"suspended. No session and no run starts until rloop resume; {running}."
    if verb == "resume":
        return "resumed. Sessions and runs start again." if alive else "resumed."
    if status.baseline is None:
        when = "once the baseline is measured"
    elif status.phase == "Concluding":
        when = "after the conclusion, if that misses the target"
    else:
        when = "now" if alive else "as soon as an operator reconciles it"
        when += ", and answered by the first session after rloop resume" if spec.suspend else ""
    return (
        f"pivot {status.pivots + 1} is requested {when}. Open sessions end, and screening runs that have not started "
        "are withdrawn. Experiments in progress may still be kept. New experiments are rejected until a direction "
        "changes the frame."
    )

"""The handoff: a session's message to the next session and to people who follow the campaign, in plain words.

Called at the end of a session. It names only verified values; an agent knows no others.
"""

from __future__ import annotations

from collections.abc import Sequence

from rloop.api.session_context import Context
from rloop.api.space import Frame
from rloop.api.wire import ExperimentView, FinishRequest
from rloop_agent.gateway import Closed, Gateway
from rloop_agent.policies.frames import as_text

BYTES = 2048


def text(
    context: Context,
    frame: Frame,
    pivoted: bool,  # noqa: FBT001
    proposed: Sequence[str],
    why: str,
    experiments: Sequence[ExperimentView],
) -> str:
    """The frame, the proposals, the best result in the frame, and why the session ended if it ended early."""
    sentences = [
        why,
        f"{'Pivoted to' if pivoted else 'Stayed in'} the frame {_short(as_text(frame))}.",
        f"Proposed {len(proposed)}: {', '.join(proposed)}." if proposed else "Proposed nothing.",
        _best(context, [view for view in experiments if view.frame == frame]),
    ]
    return cut(" ".join(sentence for sentence in sentences if sentence))


def _best(context: Context, here: Sequence[ExperimentView]) -> str:
    values = {view.name: view.value for view in here if view.value is not None}
    if not values:
        return "There is no result of this frame yet."
    pick = min if context.objective.goal == "Minimize" else max
    name = pick(values, key=lambda one: values[one])
    incumbent = context.incumbent.value
    beside = f" (the incumbent: {incumbent:g})" if incumbent is not None else ""
    return f"Best of {len(values)} results in this frame: {name} with {values[name]:g}{beside}."


def _short(sentence: str) -> str:
    return sentence if len(sentence) <= 600 else f"{sentence[:600]} ..."


def cut(sentence: str) -> str:
    """The text cut to the gateway's limit in bytes, without a partial character at the end."""
    return sentence.encode()[:BYTES].decode(errors="ignore")


def hand_over(gateway: Gateway, before: Context, text: str) -> bool:
    """Finish for an agent that has done something but did not finish. False if it has done nothing. Raises Refused."""
    try:
        after = gateway.context()
        authors = [one.session for one in after.directions] + [one.session for one in after.findings]
        done = after.session.next_sequence > before.session.next_sequence or after.session.name in authors
        if done:
            gateway.finish(FinishRequest(handoff=cut(text)))
    except Closed:
        return True
    return done

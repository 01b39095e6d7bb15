"""Whether a session that waits for results waits for what can never come.

Called by the gateway for every request that shows experiments. Without it a session would spend its time waiting for
runs that the campaign will not start while that session is open.
"""

from __future__ import annotations

from rloop.campaign_state import Situation, finished, session_over


def blocked(situation: Situation) -> str:
    """Why no experiment gets a verdict while this session is open, with the remedy; empty if one may get it."""
    loop = situation.loop
    if session_over(loop, situation.iteration, situation.session.name):
        if finished(loop) or loop.status.ending is not None:
            why = "the campaign has ended"
        else:
            why = "the campaign is suspended" if loop.spec.suspend else "it has ended"
        return f"this session is over, because {why}: finish"
    limit = loop.status.budget.blocked_by
    if limit is None:
        return ""
    return f"spec.budget.{limit} is used up, and no further run starts: record your findings, then finish"

"""What a session does if the model gives no answer: wait, retry, shorten the conversation, or give up and hand over.

Called by the session around each call of the endpoint. None of this uses a round. The heartbeat continues in its
thread, and the operator sees in the proxy's account that the session waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from rloop_agent.llm.model.endpoint import LONGEST_WAIT, Broken, Rejected, Spent, Stopped, TooLong, Wait
from rloop_agent.llm.model.limits import Used
from rloop_agent.session import Surroundings

T = TypeVar("T")
PATIENCE_SECONDS = 300.0
"""Seconds of retries while the proxy is unreachable, as for the gateway; outages that it reports are waited out."""
BROKEN_MAX = 5
"""Consecutive unusable answers after which the session gives up on the endpoint."""
LONGEST_PAUSE = 10.0


class GaveUp(Exception):
    """There will be no answer. The message is a sentence for the handoff."""


class Note(Protocol):
    """Writes one event to the transcript and the log."""

    def __call__(self, event: str, **facts: object) -> None: ...


def patiently(call: Callable[[], T], used: Used, around: Surroundings, note: Note, shrink: Callable[[], bool]) -> T:
    """The result of `call`, with retries. Raises GaveUp, and the gateway's Closed.

    `shrink` shortens the conversation; it returns False if it cannot.
    """
    away_since: float | None = None
    broken, away, trouble = 0, 0, ""
    while True:
        if around.stop():
            raise GaveUp("The process was asked to stop.")
        why = used.over()
        if why:
            raise GaveUp(f"{why} It had no answer at the end: {trouble}" if trouble else why)
        around.on_round(used.rounds)  # raises Closed if a heartbeat got the response that the session is over
        try:
            return call()
        except Wait as wait:
            now = around.clock()
            away_since = None if wait.known else away_since if away_since is not None else now
            if away_since is not None and now - away_since > PATIENCE_SECONDS:
                raise GaveUp(f"No answer within {PATIENCE_SECONDS:g} s: {wait}") from wait
            # An outage that the proxy reports comes with a retry time; for an unreachable proxy the pause doubles.
            away = 0 if wait.known else away + 1
            pause = min(wait.seconds * 2.0 ** max(away - 1, 0), LONGEST_WAIT, max(used.seconds_left(), 0.0))
            trouble = str(wait)
            note("waiting", message=trouble, seconds=pause)
        except Broken as error:
            broken += 1
            trouble = str(error)
            note("no usable answer", message=trouble, number=broken)
            if broken >= BROKEN_MAX:
                raise GaveUp(f"{broken} consecutive responses were unusable; the last one: {error}") from error
            pause = min(2.0 ** (broken - 1), LONGEST_PAUSE)
        except TooLong as error:
            note("too long", message=str(error))
            if not shrink():
                raise GaveUp(f"The conversation does not fit into the model's window: {error}") from error
            continue
        except Stopped:
            continue
        except (Spent, Rejected) as error:
            note("no answer", message=str(error))
            raise GaveUp(f"{type(error).__name__}: {error}") from error
        around.wait(pause)

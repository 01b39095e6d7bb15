"""What a session does when the model gives no answer: wait, try again, shrink, or give up in order.

Called by the session around each call of the endpoint. None of it uses a round. The heartbeat goes on in its thread,
and the operator sees from the proxy's account that the session waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from rloop_agent.llm.endpoint import LONGEST_WAIT, Broken, Rejected, Spent, Stopped, TooLong, Wait
from rloop_agent.llm.limits import Used
from rloop_agent.session import Surroundings

T = TypeVar("T")
PATIENCE_SECONDS = 300.0
"""For a proxy that is away, as for the gateway. What the proxy itself says it waits for is waited for to the end."""
BROKEN_MAX = 5
"""Answers in a row that were none: such an endpoint is not going to give one."""
LONGEST_PAUSE = 10.0


class GaveUp(Exception):
    """There will be no answer; the message is a sentence for the handoff."""


class Note(Protocol):
    """Writes one event to the transcript and the log."""

    def __call__(self, event: str, **facts: object) -> None: ...


def patiently(call: Callable[[], T], used: Used, around: Surroundings, note: Note, shrink: Callable[[], bool]) -> T:
    """The call's answer. Raises GaveUp, and the gateway's Closed.

    `shrink` makes the conversation shorter; False when it cannot.
    """
    away_since: float | None = None
    broken, away, trouble = 0, 0, ""
    while True:
        if around.stop():
            raise GaveUp("The process was told to end.")
        why = used.over()
        if why:
            raise GaveUp(f"{why} It had no answer at the end: {trouble}" if trouble else why)
        around.on_round(used.rounds)  # a heartbeat may have been told that the session is over
        try:
            return call()
        except Wait as wait:
            now = around.clock()
            away_since = None if wait.known else away_since if away_since is not None else now
            if away_since is not None and now - away_since > PATIENCE_SECONDS:
                raise GaveUp(f"No answer within {PATIENCE_SECONDS:g} s: {wait}") from wait
            # Who knows when to come back says so; of a proxy that is away nobody knows.
            away = 0 if wait.known else away + 1
            pause = min(wait.seconds * 2.0 ** max(away - 1, 0), LONGEST_WAIT, max(used.seconds_left(), 0.0))
            trouble = str(wait)
            note("waiting", message=trouble, seconds=pause)
        except Broken as error:
            broken += 1
            trouble = str(error)
            note("no usable answer", message=trouble, number=broken)
            if broken >= BROKEN_MAX:
                raise GaveUp(f"{broken} answers in a row were unusable; the last: {error}") from error
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

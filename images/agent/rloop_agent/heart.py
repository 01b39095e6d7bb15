"""The heartbeat: a thread that says "alive", and in which round.

Started by `__main__` before anything else. A thread's, because a session that waits minutes for one answer is
alive; with the round's number, because alive is not progress, and the operator judges both.
"""

from __future__ import annotations

import threading

from rloop.api.wire import HeartbeatRequest
from rloop_agent.gateway import AgentError, Closed, Gateway
from rloop_agent.log import Log, silent


class Heart:
    """Beats until it is stopped or the session is closed."""

    def __init__(self, gateway: Gateway, seconds: float, log: Log = silent) -> None:
        """`gateway` must not repeat requests: the next beat is the repetition."""
        self._gateway = gateway
        self._seconds = seconds
        self._log = log
        self._round = 0
        self._closed: Closed | None = None
        self._nudge: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def on_round(self, number: int) -> None:
        """Remember the round; raise Closed if a beat was told that the session is over."""
        self._round = number
        if self._closed is not None:
            raise self._closed

    def nudge(self) -> str | None:
        """What the operator has said since this was last asked."""
        nudge, self._nudge = self._nudge, None
        return nudge

    def stop(self) -> None:
        self._ended.set()

    def beat(self) -> bool:
        """Beat once; False when there is nothing left to beat for."""
        try:
            reply = self._gateway.heartbeat(HeartbeatRequest(round=self._round))
        except Closed as closed:
            self._closed = closed
            return False
        except AgentError as error:
            # Not this thread's to judge: the session's own requests meet the same trouble, and end it if it
            # lasts.
            self._log("warning", "heartbeat failed", error=str(error))
            return True
        if reply.nudge is not None:
            # A policy has no mind to change, a language model may have; the line is for whoever reads the log.
            self._log("info", "nudged", message=reply.nudge)
            self._nudge = reply.nudge
        return True

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            if not self.beat():
                return

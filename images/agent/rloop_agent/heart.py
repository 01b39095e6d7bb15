"""The heartbeat: a thread that reports that the session is alive, and its round.

Started by `__main__` before the session. It is a thread, because a session that waits minutes for one answer is alive.
It reports the round, because alive is not progress, and the operator checks both.
"""

from __future__ import annotations

import threading

from rloop.api.wire import HeartbeatRequest, UsageReport
from rloop_agent.gateway import AgentError, Closed, Gateway
from rloop_agent.log import Log, silent


class Heart:
    """Sends heartbeats until it is stopped or the session is closed."""

    def __init__(self, gateway: Gateway, seconds: float, log: Log = silent) -> None:
        """`gateway` must not retry requests: the next heartbeat is the retry."""
        self._gateway = gateway
        self._seconds = seconds
        self._log = log
        self._round = 0
        self._closed: Closed | None = None
        self.closing = False
        """Whether the response to a heartbeat said that the session is over."""
        self.used: UsageReport | None = None
        """Tokens that are reported with the next heartbeat; None where the LLM proxy counts them."""
        self._reported: UsageReport | None = None
        self.spent = False
        """Whether the response to such a report said that no tokens are left."""
        self._nudge: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def on_round(self, number: int) -> None:
        """Set the round. Raises Closed if the response to a heartbeat said that the session is over."""
        self._round = number
        if self._closed is not None:
            raise self._closed

    def nudge(self) -> str | None:
        """The operator's latest nudge since the last call; None if there was no new one."""
        nudge, self._nudge = self._nudge, None
        return nudge

    def stop(self) -> None:
        self._ended.set()

    def beat(self) -> bool:
        """Send one heartbeat. Returns False if no further one makes sense."""
        try:
            reply = self._gateway.heartbeat(HeartbeatRequest(round=self._round))
            if (used := self.used) is not None and used != self._reported:
                self.spent = self._gateway.report_usage(used).tokens_left == 0
                self._reported = used
        except Closed as closed:
            self._closed = closed
            self.closing = True
            return False
        except AgentError as error:
            # Not handled here: the session's own requests meet the same error, and end the session if it lasts.
            self._log("warning", "heartbeat failed", error=str(error))
            return True
        self.closing = reply.closing
        if reply.nudge is not None:
            # A policy ignores nudges, a language model may react to them; the log line is for people.
            self._log("info", "nudged", message=reply.nudge)
            self._nudge = reply.nudge
        return True

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            if not self.beat():
                return

"""The native sidecar: reports the step and the claims of the run beside it to the gateway.

Started in each pod of an experiment. It never affects the run: an unavailable gateway is retried, and garbage in the
run's files is ignored. SIGTERM arrives when the run's containers have ended, so what is read then is final. It is
reported with retries, for a limited time because the pod cannot wait longer.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from rloop.api.curves import Curves
from rloop.api.helpers import ProgressRequest, curves_of
from rloop_sidecar.environment import BadEnvironment, text, whole
from rloop_sidecar.gateway import Away, Gateway
from rloop_sidecar.reading import claims, feed, newest_step

LONGEST_PAUSE = 15.0
LAST_WORD_SECONDS = 8.0
"""Seconds of retries for the final report; below the kubelet's 30 s, so that a run's end is not delayed for long."""


class Receiver(Protocol):
    """The part of the gateway that the relay needs."""

    def post(self, progress: ProgressRequest) -> str | None:
        """Report progress. Returns None, or why the gateway rejects this report for good. Raises Away."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The validated environment."""

    url: str
    token_file: Path
    artifacts: Path
    experiment: str
    run: int
    attempt: int
    seconds: float


def settings(environment: Mapping[str, str]) -> Settings:
    """Read the variables RLOOP_*. Raises BadEnvironment."""
    pause = environment.get("RLOOP_RELAY_SECONDS") or "2"
    try:
        seconds = float(pause)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise BadEnvironment(f"RLOOP_RELAY_SECONDS is {pause!r}; it must be a number greater than 0")
    return Settings(
        url=text(environment, "RLOOP_GATEWAY"),
        token_file=Path(text(environment, "RLOOP_TOKEN_FILE")),
        artifacts=Path(text(environment, "RLOOP_ARTIFACTS")),
        experiment=text(environment, "RLOOP_EXPERIMENT"),
        run=whole(environment, "RLOOP_RUN"),
        attempt=whole(environment, "RLOOP_ATTEMPT"),
        seconds=seconds,
    )


class Relay:
    """The state of the run, and the part of it that the gateway knows."""

    def __init__(self, told: Settings, gateway: Receiver) -> None:
        self._artifacts = told.artifacts
        self._gateway = gateway
        self._state = ProgressRequest(run=told.run, attempt=told.attempt)
        self._sent = self._state
        """The last reported state. No report means the same as an empty one."""
        self._seconds = told.seconds
        self._pause = told.seconds
        self._curves = Curves()
        self._read_bytes = 0

    def look(self) -> float:
        """Read, and report changes. Returns the seconds until the next look."""
        self._read()
        if self._state == self._sent or self._tell():
            self._pause = self._seconds
        else:
            self._pause = min(self._pause * 2, max(LONGEST_PAUSE, self._seconds))
        return self._pause

    def last_word(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Read once more and report it, unless there is nothing to report."""
        self._read()
        for name, step in self._curves.unusable.items():
            _log("warning", "not a finite number", metric=name, first_step=step)
        if self._state.step is None and not self._state.claims:
            return
        deadline = clock() + LAST_WORD_SECONDS
        while not self._tell() and clock() + 1 < deadline:
            sleep(1)

    def _read(self) -> None:
        """Read step, claims and curves. Step and claims that are no longer readable keep their last values."""
        step = newest_step(self._artifacts / "progress.jsonl")
        found = claims(self._artifacts / "claims.json")
        self._read_bytes += feed(self._curves, self._artifacts / "progress.jsonl", self._read_bytes)
        curves = curves_of(self._curves.points())
        update = {"step": self._state.step if step is None else step, "curves": curves}
        self._state = self._state.model_copy(update=update | ({} if found is None else {"claims": found}))

    def _tell(self) -> bool:
        try:
            refused = self._gateway.post(self._state)
        except Away as away:
            _log("warning", "gateway away", error=str(away))
            return False
        if refused is not None:
            _log("warning", "refused", error=refused)
        self._sent = self._state
        return True


def main(environment: Mapping[str, str]) -> int:
    """Relay until SIGTERM. Raises BadEnvironment."""
    told = settings(environment)
    # A pipe instead of a flag: a signal between checking a flag and the wait would be noticed too late.
    wakeup, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    relay = Relay(told, Gateway(told.url, told.token_file))
    _log("info", "started", experiment=told.experiment, run=told.run, attempt=told.attempt)
    while not select.select([wakeup], [], [], relay.look())[0]:
        pass
    relay.last_word()
    _log("info", "ended")
    return 0


def _log(level: str, event: str, **facts: object) -> None:
    line = {"ts": datetime.now(UTC).isoformat(), "level": level, "event": event, **facts}
    print(json.dumps(line), flush=True)

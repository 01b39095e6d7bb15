"""The native sidecar: tells the gateway how far the run beside it has come, and what it claims.

Started in each pod of an experiment. Whatever happens here, the run goes on: a gateway that is away is tried again,
and garbage in the run's files is ignored. SIGTERM comes when the run's containers have ended, so what is read then is
the last word; it is told once more, and waited for only as long as a pod can wait.
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
"""Less than the 30 seconds after which the kubelet kills, so that the end of a run is not held up for long."""


class Receiver(Protocol):
    """What the relay needs of the gateway."""

    def post(self, progress: ProgressRequest) -> str | None:
        """Tell it; None, or why it will never take this. Raises Away."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment, checked."""

    url: str
    token_file: Path
    artifacts: Path
    experiment: str
    run: int
    attempt: int
    seconds: float


def settings(environment: Mapping[str, str]) -> Settings:
    """Read RLOOP_*; raises BadEnvironment."""
    pause = environment.get("RLOOP_RELAY_SECONDS") or "2"
    try:
        seconds = float(pause)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise BadEnvironment(f"RLOOP_RELAY_SECONDS is {pause!r}; it must be a number above 0")
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
    """What is known of the run, and what of it the gateway knows."""

    def __init__(self, told: Settings, gateway: Receiver) -> None:
        self._artifacts = told.artifacts
        self._gateway = gateway
        self._state = ProgressRequest(run=told.run, attempt=told.attempt)
        self._sent = self._state
        """Silence says the same as an empty report."""
        self._seconds = told.seconds
        self._pause = told.seconds
        self._curves = Curves()
        self._read_bytes = 0

    def look(self) -> float:
        """Read, tell what has changed; the seconds until the next look."""
        self._read()
        if self._state == self._sent or self._tell():
            self._pause = self._seconds
        else:
            self._pause = min(self._pause * 2, max(LONGEST_PAUSE, self._seconds))
        return self._pause

    def last_word(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Read a last time and tell it, if there is anything to tell."""
        self._read()
        for name, step in self._curves.unusable.items():
            _log("warning", "not a finite number", metric=name, first_step=step)
        if self._state.step is None and not self._state.claims:
            return
        deadline = clock() + LAST_WORD_SECONDS
        while not self._tell() and clock() + 1 < deadline:
            sleep(1)

    def _read(self) -> None:
        """A step or claims that can no longer be read stay as they were."""
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
    # A pipe instead of a flag: a signal between the look at a flag and the wait would be noticed too late.
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

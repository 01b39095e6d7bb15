"""Ctrl-C of `rloop run`: the first one ends in order, the second at once, and neither takes longer than five seconds.

Used by `local.campaign` and by the command line. Whatever is in progress then (a model call, a request, a training run,
a scorer that ignores SIGTERM) is left behind: its state is stored, and the same command takes it in again. A thread
ends the process if the event loop itself hangs; that loses as little as `kill -9` (docs/local-shell.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DRAIN_SECONDS = 2.0
"""For what ends by itself, or can hand over, after the first Ctrl-C."""
KILL_SECONDS = 2.5
"""For what was killed by the second one to be seen as ended."""
HARD_SECONDS = 4.7
"""After a Ctrl-C the process is ended, wherever it is."""
INTERRUPTED = 130
SHOW_CURSOR = "\x1b[?25h"


class Interrupt:
    """What the user has asked for so far."""

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        """First Ctrl-C: end in order."""
        self.kill = asyncio.Event()
        """Second: end now."""
        self.left: list[str] = []
        """Workloads that go on in the background when the command ends."""
        self._at = 0.0
        self._guard: threading.Timer | None = None

    @property
    def overdue(self) -> bool:
        """Whether the time to end in order is over."""
        return self.drain.is_set() and time.monotonic() - self._at > DRAIN_SECONDS

    def received(self) -> None:
        """A signal came."""
        if self.drain.is_set():
            self.kill.set()
        else:
            self._at = time.monotonic()
            self.drain.set()

    @contextlib.contextmanager
    def handling(self) -> Iterator[None]:
        """Take the signals while the context lasts: in the main thread, inside a running event loop."""
        loop = asyncio.get_running_loop()

        def handler(_number: int, _frame: FrameType | None) -> None:
            # Not `loop.add_signal_handler`: that one waits for the loop, which may be what hangs.
            self._arm()
            loop.call_soon_threadsafe(self.received)

        before = {number: signal.signal(number, handler) for number in SIGNALS}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)

    def _arm(self) -> None:
        if self._guard is not None:
            self._guard.cancel()
        self._guard = threading.Timer(HARD_SECONDS, _end)
        self._guard.daemon = True
        self._guard.start()

    def disarm(self) -> None:
        """The process ends by itself."""
        if self._guard is not None:
            self._guard.cancel()


def _end() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream.isatty():
                os.write(stream.fileno(), SHOW_CURSOR.encode())
    with contextlib.suppress(OSError, ValueError):
        told = b"\nInterrupted: ended while something was in progress; nothing is lost; the same command continues\n"
        os.write(sys.stderr.fileno(), told)
    os._exit(INTERRUPTED)

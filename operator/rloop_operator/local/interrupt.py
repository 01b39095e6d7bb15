"""Ctrl-C of `rloop run`: the first ends the command in order, the second at once, both within five seconds.

Used by `local.campaign` and by the command line. Work that is still in progress then (a model call, a request, a
training run, a scorer that ignores SIGTERM) is left running: its state is stored, and the same command adopts it. A
thread ends the process if the event loop itself hangs; that loses as little as `kill -9` (docs/local-shell.md).
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
"""Seconds after the first Ctrl-C for work that ends by itself or can hand over."""
KILL_SECONDS = 2.5
"""Seconds to observe the end of the workloads that the second Ctrl-C killed."""
HARD_SECONDS = 4.7
"""Seconds after a Ctrl-C at which the process is ended unconditionally."""
INTERRUPTED = 130
SHOW_CURSOR = "\x1b[?25h"


class Interrupt:
    """Interrupts that were received so far."""

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        """Set by the first Ctrl-C: end in order."""
        self.kill = asyncio.Event()
        """Set by the second Ctrl-C: end now."""
        self.left: list[str] = []
        """Workloads that continue in the background when the command ends."""
        self.stopped: list[str] = []
        """Workloads that the second Ctrl-C stopped. The next command repeats them."""
        self._at = 0.0
        self._guard: threading.Timer | None = None

    @property
    def overdue(self) -> bool:
        """Whether the time for an orderly end has passed."""
        return self.drain.is_set() and time.monotonic() - self._at > DRAIN_SECONDS

    def received(self) -> None:
        """Record a received signal."""
        if self.drain.is_set():
            self.kill.set()
        else:
            self._at = time.monotonic()
            self.drain.set()

    @contextlib.contextmanager
    def handling(self) -> Iterator[None]:
        """Handle the signals while the context lasts. Must run in the main thread, inside a running event loop."""
        loop = asyncio.get_running_loop()

        def handler(_number: int, _frame: FrameType | None) -> None:
            # Not `loop.add_signal_handler`, because that needs the event loop, which may hang.
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
        """Cancel the forced end, because the process ends by itself."""
        if self._guard is not None:
            self._guard.cancel()


def _end() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream.isatty():
                os.write(stream.fileno(), SHOW_CURSOR.encode())
    with contextlib.suppress(OSError, ValueError):
        told = b"\nInterrupted: ended at once; nothing recorded is lost; the same command continues\n"
        os.write(sys.stderr.fileno(), told)
    os._exit(INTERRUPTED)

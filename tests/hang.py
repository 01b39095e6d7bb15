"""A guard of tests that feed what nobody may be able to make slow: a hang fails the test instead of holding it.

It is no measure of speed: machines differ and are shared. The inputs are so large that work which grows
faster than they do would take minutes, and what they take today is a hundredth of the limit or less.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CPU_SECONDS = 10.0
"""The operator's event loop renews a Lease whose fence is 10 s."""


@contextmanager
def no_hang(cpu_seconds: float = CPU_SECONDS) -> Iterator[None]:
    """Fails in the main thread when the block has taken that much CPU time of this process."""

    def too_long(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"not done after {cpu_seconds:g} s of CPU time: a hang")

    before = signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)

"""Waiting until something is true, with the story of what it is about if it does not come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cluster.campaign import Campaign

SECONDS = 240
PAUSE_SECONDS = 2.0
"""A kubectl is a tenth of a second of a core, and several tests share two."""


def wait_for(
    true: Callable[[], object], explain: Callable[[], str], *, seconds: float = SECONDS, pause: float = PAUSE_SECONDS
) -> None:
    """Wait until it is true, or not empty."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"not after {seconds:.0f} s:\n{explain()}")
        time.sleep(pause)


def until(
    campaign: Campaign,
    what: str,
    true: Callable[[], object],
    *,
    seconds: float = SECONDS,
    pause: float = PAUSE_SECONDS,
) -> None:
    """Wait until it is true of a campaign."""
    wait_for(true, lambda: f"{campaign.name}: {what}\n{campaign.explain()}", seconds=seconds, pause=pause)

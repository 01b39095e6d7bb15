"""Waiting for a campaign to come to something, with its story if it does not."""

import time
from collections.abc import Callable

from tests.cluster.campaign import Campaign

SECONDS = 240
PAUSE_SECONDS = 2.0
"""A kubectl is a tenth of a second of a core, and several tests share two."""


def until(campaign: Campaign, what: str, true: Callable[[], object], *, pause: float = PAUSE_SECONDS) -> None:
    """Wait until it is true, or not empty."""
    end = time.monotonic() + SECONDS
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"{campaign.name}: not {what} after {SECONDS} s:\n{campaign.explain()}")
        time.sleep(pause)

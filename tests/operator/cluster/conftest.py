"""What the tests of this folder share: a clock of their own, and a home for kopf."""

from __future__ import annotations

from pathlib import Path

import pytest

from rloop_operator.cluster.reconciling import kopf_watches


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the kubeconfig that kopf reads; it retries sooner what is refused."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setattr(kopf_watches, "BACKOFFS", (0.05,))
    monkeypatch.setattr(kopf_watches, "LONGEST_SECONDS", 0.05)
    return tmp_path

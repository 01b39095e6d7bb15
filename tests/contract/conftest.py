"""The row of each shell: `check` runs a test on a fresh one; the cluster's only where RLOOP_TEST_CLUSTER=1."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.conftest import cluster, namespace  # noqa: F401 -- fixtures are found by their name here
from tests.contract import cluster_shell, fake_shell
from tests.contract.shells import Check, opened

# The first one builds the images where no other test has.
ON_A_CLUSTER = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
CLUSTER = pytest.param("cluster", marks=ON_A_CLUSTER)
PYTORCHJOB = pytest.param("pytorchjob", marks=ON_A_CLUSTER)
"""The cluster's shell with runs of two workers."""
FAKE = "fake"
"""The cluster's shell on the fake API server, where nothing has to run."""


SHELLS = ["sim", "local", CLUSTER]


@pytest.fixture(params=SHELLS)
def row(request: pytest.FixtureRequest) -> str:
    """The shell of the row."""
    kind: str = request.param
    return kind


@pytest.fixture
def check(row: str, request: pytest.FixtureRequest, tmp_path: Path) -> Check:
    """Runs a test on a fresh shell."""

    def shell(*, gateway: bool) -> AbstractAsyncContextManager[Any]:
        if row == FAKE:
            return fake_shell.opened()
        if row not in ("cluster", "pytorchjob"):
            return opened(row, tmp_path)
        # In a namespace of its own, so that rows can run beside each other.
        where = request.getfixturevalue("cluster"), request.getfixturevalue("namespace")
        return cluster_shell.opened(*where, gateway=gateway, workers=2 if row == "pytorchjob" else 0)

    def run(test: Callable[[Any], Awaitable[None]], *, gateway: bool = False) -> None:
        async def go() -> None:
            async with shell(gateway=gateway) as fresh:
                await test(fresh)

        asyncio.run(go())

    return run

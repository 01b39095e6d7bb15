"""The row of each shell: `check` runs a test on a fresh one; the cluster's only where RLOOP_TEST_CLUSTER=1."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.conftest import cluster, namespace  # noqa: F401 -- fixtures are found by their name here
from tests.contract import cluster_shell
from tests.contract.shells import Check, opened

CLUSTER = pytest.param("cluster", marks=[pytest.mark.cluster, pytest.mark.timeout(240, func_only=True)])


@pytest.fixture(params=["sim", "local", CLUSTER])
def check(request: pytest.FixtureRequest, tmp_path: Path) -> Check:
    """Runs a test on a fresh shell."""
    kind: str = request.param
    # In a namespace of its own, so that rows can run beside each other.
    where = (request.getfixturevalue("cluster"), request.getfixturevalue("namespace")) if kind == "cluster" else None

    def run(test: Callable[[Any], Awaitable[None]], *, gateway: bool = False) -> None:
        async def go() -> None:
            shell = opened(kind, tmp_path) if where is None else cluster_shell.opened(*where, gateway=gateway)
            async with shell as fresh:
                await test(fresh)

        asyncio.run(go())

    return run

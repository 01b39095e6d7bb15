"""What every runtime promises: at most one execution under a name, and a true word about how it ended."""

from __future__ import annotations

import pytest
from tests.contract.conftest import FAKE, PYTORCHJOB, SHELLS
from tests.contract.shells import Check, Shell, ended, run, running

# PyTorchJobs keep the same promises as Jobs.
pytestmark = pytest.mark.parametrize("row", [*SHELLS, PYTORCHJOB, FAKE])


def test_a_workload_runs_to_its_end(check: Check) -> None:
    async def test(shell: Shell) -> None:
        await shell.behave("demo-e1", "ok")
        await shell.runtime.start(shell.loop, run("demo-e1"))
        assert "demo-e1-r1-a1" in await shell.runtime.observe("demo")
        exit_ = await ended(shell, "demo-e1-r1-a1")
        assert (exit_.code, exit_.reason, exit_.infrastructure) == (0, "Completed", False)
        assert exit_.claims == {"loss": 0.5}
        assert [(one.metric, one.steps, one.values) for one in exit_.curves] == [("loss", [1], [0.75])]

    check(test, gateway=True)


def test_a_failure_is_told_with_its_code_and_last_words(check: Check) -> None:
    async def test(shell: Shell) -> None:
        await shell.behave("demo-e1", "fail")
        await shell.runtime.start(shell.loop, run("demo-e1"))
        exit_ = await ended(shell, "demo-e1-r1-a1")
        assert (exit_.code, exit_.reason, exit_.infrastructure) == (3, "Error", False)
        assert "it went wrong" in exit_.log_tail

    check(test)


def test_a_name_is_started_once_even_after_its_end_and_after_its_removal(check: Check) -> None:
    async def test(shell: Shell) -> None:
        await shell.behave("demo-e1", "ok")
        for _ in range(3):
            await shell.runtime.start(shell.loop, run("demo-e1"))
        first = await ended(shell, "demo-e1-r1-a1")
        await shell.runtime.start(shell.loop, run("demo-e1"))
        assert await ended(shell, "demo-e1-r1-a1") == first
        await shell.record("demo-e1")
        await shell.runtime.remove("demo-e1-r1-a1")
        await shell.runtime.start(shell.loop, run("demo-e1"))
        await shell.reopened().start(shell.loop, run("demo-e1"))
        assert "demo-e1-r1-a1" not in await shell.runtime.observe("demo")

    check(test)


def test_a_stopped_workload_ends_with_the_first_reason(check: Check) -> None:
    async def test(shell: Shell) -> None:
        await shell.behave("demo-e1", "sleep")
        await shell.runtime.start(shell.loop, run("demo-e1"))
        await running(shell, "demo-e1-r1-a1")
        await shell.runtime.stop("demo-e1-r1-a1", "Hang")
        await shell.runtime.stop("demo-e1-r1-a1", "Withdrawn")
        exit_ = await ended(shell, "demo-e1-r1-a1")
        assert (exit_.reason, exit_.code) == ("Hang", None)

    check(test)


def test_unknown_names_are_no_error(check: Check) -> None:
    async def test(shell: Shell) -> None:
        await shell.runtime.stop("nobody", "Stopped")
        await shell.runtime.remove("nobody")
        assert dict(await shell.runtime.observe("demo")) == {}
        assert dict(await shell.runtime.observe("another")) == {}

    check(test)


def test_a_running_workload_is_not_forgotten(check: Check) -> None:
    async def test(shell: Shell) -> None:
        await shell.behave("demo-e1", "sleep")
        await shell.runtime.start(shell.loop, run("demo-e1"))
        await shell.runtime.remove("demo-e1-r1-a1")
        assert "demo-e1-r1-a1" in await shell.runtime.observe("demo")

    check(test)


def test_a_new_operator_finds_what_the_old_one_started(check: Check) -> None:
    async def test(shell: Shell) -> None:
        await shell.behave("demo-e1", "sleep")
        await shell.runtime.start(shell.loop, run("demo-e1"))
        await running(shell, "demo-e1-r1-a1")
        runtime = shell.reopened()
        state = (await runtime.observe("demo"))["demo-e1-r1-a1"]
        assert state.exit is None

    check(test)


def test_a_lost_workload_is_infrastructure(check: Check) -> None:
    async def test(shell: Shell) -> None:
        await shell.behave("demo-e1", "sleep")
        await shell.runtime.start(shell.loop, run("demo-e1"))
        await running(shell, "demo-e1-r1-a1")
        shell.lose("demo-e1-r1-a1")
        exit_ = await ended(shell, "demo-e1-r1-a1")
        assert (exit_.code, exit_.reason, exit_.infrastructure) == (None, "Lost", True)

    check(test)

"""What every store promises: preconditions, frozen files, a ledger without doubles."""

from __future__ import annotations

import pytest
from tests.contract.conftest import FAKE, SHELLS
from tests.contract.shells import Check, Shell

from rloop import names
from rloop.actions import Append
from rloop.api.iteration import ResearchIteration, ResearchIterationSpec, SessionSpec
from rloop.api.researchloop import ResearchLoop
from rloop.decide import children
from rloop.errors import Conflict, NotFound
from rloop_operator.ports import File

pytestmark = pytest.mark.parametrize("row", [*SHELLS, FAKE])


def iteration(loop: ResearchLoop, number: int = 1) -> ResearchIteration:
    session = SessionSpec(name=f"s{number}", max_rounds=1, session_seconds=1, max_experiments=1)
    spec = ResearchIterationSpec(
        loop_name=loop.metadata.name, number=number, generation=0, pivots=0, sessions=[session]
    )
    return ResearchIteration(metadata=children.metadata(loop, names.iteration(loop.metadata.name, number)), spec=spec)


def test_a_name_is_created_once(check: Check) -> None:
    async def test(shell: Shell) -> None:
        created = await shell.store.create(iteration(shell.loop))
        assert created.metadata.uid
        assert created.metadata.resource_version
        with pytest.raises(Conflict):
            await shell.store.create(iteration(shell.loop))
        assert await shell.store.get(ResearchIteration, created.metadata.name) == created

    check(test)


def test_what_is_not_there_is_not_found(check: Check) -> None:
    async def test(shell: Shell) -> None:
        with pytest.raises(NotFound):
            await shell.store.get(ResearchIteration, "nobody")
        with pytest.raises(NotFound):
            await shell.store.files("nobody")
        with pytest.raises(NotFound):
            await shell.store.apply_status(iteration(shell.loop))

    check(test)


def test_a_stale_status_is_a_conflict_and_changes_nothing(check: Check) -> None:
    async def test(shell: Shell) -> None:
        first = await shell.store.create(iteration(shell.loop))
        settled = first.model_copy(update={"status": first.status.model_copy(update={"phase": "Settled"})})
        second = await shell.store.apply_status(settled)
        assert second.metadata.resource_version != first.metadata.resource_version
        late = first.model_copy(update={"status": first.status.model_copy(update={"keeps_at_settlement": 9})})
        with pytest.raises(Conflict):
            await shell.store.apply_status(late)
        assert await shell.store.get(ResearchIteration, first.metadata.name) == second

    check(test)


def test_a_status_write_leaves_the_spec_as_it_is(check: Check) -> None:
    async def test(shell: Shell) -> None:
        loop = await shell.store.get(ResearchLoop, shell.loop.metadata.name)
        spec = loop.spec.model_copy(update={"direction": "something else"})
        status = loop.status.model_copy(update={"pivots": 3})
        stored = await shell.store.apply_status(loop.model_copy(update={"spec": spec, "status": status}))
        assert stored.spec == loop.spec
        assert stored.status.pivots == 3

    check(test)


def test_a_list_holds_the_loops_own_objects_by_name(check: Check) -> None:
    async def test(shell: Shell) -> None:
        other = shell.loop.model_copy(update={"metadata": shell.loop.metadata.model_copy(update={"name": "demo-2"})})
        for loop, number in ((shell.loop, 2), (shell.loop, 1), (other, 1)):
            await shell.store.create(iteration(loop, number))
        found = await shell.store.list(ResearchIteration, "demo")
        assert [one.metadata.name for one in found] == ["demo-i0001", "demo-i0002"]

    check(test)


def test_files_are_frozen_under_their_name(check: Check) -> None:
    async def test(shell: Shell) -> None:
        files = {"a b/ü.json": File(b"{}"), "run": File(b"\x00\xff", executable=True)}
        await shell.store.put_files("demo", "demo-e1", files)
        await shell.store.put_files("demo", "demo-e1", files)
        with pytest.raises(Conflict):
            await shell.store.put_files("demo", "demo-e1", {"run": File(b"other")})
        assert dict(await shell.store.files("demo-e1")) == files

    check(test)


def test_sealing_twice_gives_the_first_result(check: Check) -> None:
    async def test(shell: Shell) -> None:
        first = await shell.store.seal(shell.loop)
        assert await shell.store.seal(shell.loop) == first
        assert "run.sh" in await shell.store.files("demo-task")

    check(test)


def test_a_ledger_entry_is_written_once(check: Check) -> None:
    async def test(shell: Shell) -> None:
        entry = Append("pivot/1", "pivot", {"number": 1})
        await shell.store.append("demo", entry)
        await shell.store.append("demo", entry)
        await shell.store.append("demo", Append("pivot/2", "pivot", {"number": 2}))
        assert shell.ledger() == ["pivot/1", "pivot/2"]

    check(test)

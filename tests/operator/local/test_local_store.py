"""The local store: preconditions, what survives, who may look on, and what a damaged file says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rloop import ledger_entry
from rloop.actions import Append
from rloop.api.iteration import ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput, Conflict, Corrupt, InUse, NotFound, RloopError
from rloop_operator.local.storage.file_errors import NotWritable, StorageFull, TooNew
from rloop_operator.local.storage.layout import RunLock, holder
from rloop_operator.local.storage.store import LocalStore
from rloop_operator.ports import File

if TYPE_CHECKING:
    from tests.operator.local.conftest import Campaign


def iteration(number: int) -> ResearchIteration:
    return ResearchIteration.model_validate(
        {
            "metadata": {"name": f"kuhn-i{number:04d}"},
            "spec": {
                "loopName": "kuhn",
                "number": number,
                "generation": 0,
                "pivots": 0,
                "sessions": [{"name": "s", "maxRounds": 1, "sessionSeconds": 1, "maxExperiments": 1}],
            },
        }
    )


def test_a_status_is_written_only_over_the_version_it_was_decided_on(campaign: Campaign) -> None:
    async def story() -> None:
        first = await campaign.store.create(campaign.loop())
        assert first.metadata.uid
        assert first.metadata.creation_timestamp
        status = first.status.model_copy(update={"stale_count": 1})
        second = await campaign.store.apply_status(first.model_copy(update={"status": status}))
        assert second.metadata.resource_version != first.metadata.resource_version
        assert await campaign.store.get(ResearchLoop, "kuhn") == second
        with pytest.raises(Conflict, match="read it and decide again"):
            await campaign.store.apply_status(first)
        assert await campaign.store.apply_status(second) is second  # nothing to write, nothing written
        with pytest.raises(Conflict):
            await campaign.store.create(campaign.loop())
        with pytest.raises(NotFound):
            await campaign.store.apply_status(iteration(3))

    asyncio.run(story())


def test_status_and_spec_have_one_writer_each(campaign: Campaign) -> None:
    async def story() -> None:
        first = await campaign.store.create(campaign.loop())
        spec = first.spec.model_copy(update={"direction": "something else"})
        meddled = first.status.model_copy(update={"stale_count": 9})
        edited = await campaign.store.update_spec(first.model_copy(update={"spec": spec, "status": meddled}))
        assert (edited.spec.direction, edited.metadata.generation) == ("something else", 2)
        assert edited.status == first.status
        with pytest.raises(Conflict):
            await campaign.store.update_spec(first)
        again = await campaign.store.apply_status(edited.model_copy(update={"spec": first.spec, "status": meddled}))
        assert again.spec.direction == "something else"

    asyncio.run(story())


def test_what_was_written_is_read_by_the_next_process(campaign: Campaign) -> None:
    async def story() -> None:
        loop = await campaign.store.create(campaign.loop())
        made = [await campaign.store.create(iteration(number)) for number in (2, 1)]
        await campaign.store.put_files("kuhn", "kuhn-i0001-e1", {"a/b.json": File(b"{}", executable=True)})
        sealed = await campaign.store.seal(loop)
        campaign.reopen()
        assert await campaign.store.get(ResearchLoop, "kuhn") == loop
        assert await campaign.store.list(ResearchIteration, "kuhn") == made[::-1]
        assert await campaign.store.list(ResearchIteration, "other") == []
        assert await campaign.store.files("kuhn-i0001-e1") == {"a/b.json": File(b"{}", executable=True)}
        (campaign.base / "task" / "train.py").write_text("changed")
        assert await campaign.store.seal(loop) == sealed
        assert (await campaign.store.files("kuhn-task"))["train.py"].content == b"print('trained')\n"
        newer = await campaign.store.create(iteration(3))
        assert int(newer.metadata.resource_version) > int(made[1].metadata.resource_version)

    asyncio.run(story())


def test_frozen_files_do_not_change(campaign: Campaign) -> None:
    async def story() -> None:
        await campaign.store.put_files("kuhn", "one", {"a": File(b"1")})
        await campaign.store.put_files("kuhn", "one", {"a": File(b"1")})
        with pytest.raises(Conflict):
            await campaign.store.put_files("kuhn", "one", {"a": File(b"2")})
        await campaign.store.put_files("kuhn", "none", {})
        assert await campaign.store.files("none") == {}
        with pytest.raises(NotFound):
            await campaign.store.files("two")
        with campaign.store.database.write() as connection:
            connection.execute("UPDATE files SET content = x'00'")
        with pytest.raises(Corrupt, match="hash"):
            await campaign.store.files("one")

    asyncio.run(story())


def test_every_problem_of_the_folders_is_told_at_once(campaign: Campaign) -> None:
    (campaign.base / "evaluation" / "score.py").rename(campaign.base / "task" / "score.py")
    (campaign.base / "task" / "link").symlink_to("train.py")
    os.mkfifo(campaign.base / "task" / "pipe")
    loop = campaign.loop()

    async def story(changed: ResearchLoop) -> list[str]:
        with pytest.raises(BadInput) as caught:
            await campaign.store.seal(changed)
        return [f"{problem.field} {problem.message}" for problem in caught.value.problems]

    told = asyncio.run(story(loop))
    assert any("link" in one for one in told)
    assert any("pipe" in one for one in told)
    assert any("spec.evaluation.code.path" in one and "no files" in one for one in told)
    hidden = {"code": {"path": "./task"}, "command": ["x"], "heldOut": {"path": "./task/../task"}}
    document = loop.model_dump(by_alias=True, mode="json", exclude_none=True)
    document["spec"]["evaluation"] = hidden
    told = asyncio.run(story(ResearchLoop.model_validate(document)))
    assert len([one for one in told if "inside the task" in one]) == 2


def test_references_are_sealed_with_the_task_and_hide_nothing(campaign: Campaign) -> None:
    (campaign.base / "papers" / "deep").mkdir(parents=True)
    paper = campaign.base / "papers" / "deep" / "kuhn.md"
    paper.write_text("first")
    document = campaign.loop().model_dump(by_alias=True, mode="json", exclude_none=True)
    agent = {"image": "i", "command": ["./agent"], "references": {"path": "./papers"}}
    document["spec"]["agent"] = agent

    async def story() -> None:
        loop = ResearchLoop.model_validate(document)
        sealed = await campaign.store.seal(loop)
        paper.write_text("second")
        assert await campaign.store.seal(loop) == sealed
        assert sealed.references is not None
        assert dict(await campaign.store.files("kuhn-references")) == {"deep/kuhn.md": File(b"first")}

    hidden = {**agent, "references": {"path": "."}}
    with pytest.raises(BadInput) as caught:
        asyncio.run(
            campaign.store.seal(ResearchLoop.model_validate(document | {"spec": document["spec"] | {"agent": hidden}}))
        )
    assert [one.field for one in caught.value.problems if "inside the references" in one.message] == [
        "spec.evaluation.code.path",
        "spec.evaluation.heldOut.path",
    ]
    asyncio.run(story())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE ledger SET text = replace(text, 'größer', 'x') WHERE key = 'e2'", 'entry 2 ("e2")'),
        ("UPDATE ledger SET text = replace(text, '{}', '[]') WHERE key = 'e4'", "entry 4"),
        ("UPDATE ledger SET sha256 = '0' WHERE key = 'e4'", 'entry 4 ("e4")'),
        ("DELETE FROM ledger WHERE key = 'e2'", 'entry 1 ("e1")'),
    ],
)
def test_the_ledger_is_a_chain(campaign: Campaign, change: str, told: str) -> None:
    async def story() -> None:
        for number in (1, 2, 3, 2):
            entry = Append(f"e{number}", "experiment", {"value": number, "title": "größer"})
            await campaign.store.append("kuhn", entry)
        campaign.reopen()
        await campaign.store.append("kuhn", Append("e4", "experiment", {}))
        assert [entry.key for entry in campaign.store.ledger("kuhn").entries] == ["e1", "e2", "e3", "e4"]
        assert ledger_entry.misfit("kuhn", campaign.store.ledger("kuhn")) is None
        with campaign.store.database.write() as connection:
            connection.execute(change)
        assert told in str(ledger_entry.misfit("kuhn", campaign.store.ledger("kuhn")))

    asyncio.run(story())


def test_a_seed_makes_the_uid_and_so_every_runs_seed_reproducible(campaign: Campaign) -> None:
    async def uid(folder: str, seed: int | None) -> str:
        store = LocalStore(campaign.folder / folder, campaign.base, seed=seed)
        made = await store.create(campaign.loop())
        store.close()
        return made.metadata.uid

    seeds: list[int | None] = [1, 1, 2, None, None]
    uids = [asyncio.run(uid(str(index), seed)) for index, seed in enumerate(seeds)]
    assert uids[0] == uids[1]
    assert len(set(uids)) == 4


def test_who_waits_for_a_change_is_woken(campaign: Campaign) -> None:
    async def story() -> None:
        before = campaign.store.revision
        waiting = [asyncio.create_task(campaign.store.changed(before)) for _ in range(3)]
        await asyncio.sleep(0)
        await campaign.store.create(campaign.loop())
        assert await asyncio.gather(*waiting) == [before + 1] * 3
        assert await campaign.store.changed(before) == before + 1

    asyncio.run(story())


def test_a_reader_sees_the_writers_work_and_cannot_write(campaign: Campaign) -> None:
    async def story() -> None:
        reader = LocalStore.read_only(campaign.folder)
        assert await reader.loops() == []
        loop = await campaign.store.create(campaign.loop())
        assert await reader.get(ResearchLoop, "kuhn") == loop
        status = loop.status.model_copy(update={"stale_count": 1})
        changed = await campaign.store.apply_status(loop.model_copy(update={"status": status}))
        assert list(await reader.loops()) == [changed]
        with pytest.raises(NotWritable):
            await reader.append("kuhn", Append("x", "pivot", {}))
        campaign.store.close()
        late = LocalStore.read_only(campaign.folder)  # nobody has it open any more
        assert list(await late.loops()) == [changed]
        late.close()
        reader.close()
        campaign.open()

    asyncio.run(story())


def test_reading_a_status_loads_no_heavy_library() -> None:
    code = "import sys, rloop_operator.local.storage.store; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"scipy", "numpy", "uvicorn", "starlette", "httpx", "matplotlib", "rich", "psutil"} & set(loaded)


WRITER = """
import asyncio, sys
from pathlib import Path
from rloop.actions import Append
from rloop_operator.local.storage.store import LocalStore
store = LocalStore(Path(sys.argv[1]), Path(sys.argv[1]))
async def main():
    for number in range(10**6):
        await store.append("kuhn", Append(f"e{number}", "experiment", {"number": number}))
        print(number, flush=True)
asyncio.run(main())
"""


def test_what_was_written_survives_kill_9(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with writer:
        assert writer.stdout
        for line in writer.stdout:
            if line == "20\n":
                break
        writer.send_signal(signal.SIGKILL)
        told = [20, *map(int, writer.stdout.read().split())]
    store = LocalStore(tmp_path)
    ledger = store.ledger("kuhn")
    assert ledger_entry.misfit("kuhn", ledger) is None
    assert len(ledger.texts) >= told[-1] + 1
    store.close()


def test_the_folder_belongs_to_one_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from rloop_operator.local.storage.layout import RunLock\n"
        "RunLock(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        assert holder(tmp_path) == other.pid
        with pytest.raises(InUse, match=str(other.pid)):
            RunLock(tmp_path).acquire()
        other.kill()
    with RunLock(tmp_path):
        assert holder(tmp_path) == os.getpid()
    assert holder(tmp_path) is None


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


def foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def truncated(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(4096)


@pytest.mark.parametrize(
    ("damage", "error"), [(garbage, Corrupt), (foreign, Corrupt), (newer, TooNew), (truncated, Corrupt)]
)
def test_a_file_that_cannot_be_read_is_told_and_left_alone(
    campaign: Campaign, damage: object, error: type[RloopError]
) -> None:
    assert callable(damage)
    campaign.store.close()
    path = campaign.store.folder.database
    damage(path)
    before = path.read_bytes()
    for attempt in (LocalStore, LocalStore.read_only):
        with pytest.raises(error) as caught:
            asyncio.run(attempt(campaign.folder).loops())
        assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    path.unlink()
    campaign.open()


def test_an_object_that_cannot_be_parsed_is_named(campaign: Campaign) -> None:
    asyncio.run(campaign.store.create(campaign.loop()))
    with campaign.store.database.write() as connection:
        connection.execute("UPDATE objects SET json = ?", (json.dumps({"metadata": {}}),))
    with pytest.raises(Corrupt, match='ResearchLoop "kuhn"'):
        campaign.reopen()
    campaign.store.folder.database.unlink()
    campaign.open()


def test_a_full_disk_is_a_sentence_and_nothing_half_written_is_seen(campaign: Campaign) -> None:
    async def story() -> None:
        loop = await campaign.store.create(campaign.loop())
        pages = campaign.store.database.rows("PRAGMA page_count")[0][0]
        campaign.store.database.rows(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StorageFull, match="no space is left"):
            await campaign.store.put_files("kuhn", "big", {"a": File(bytes(10**6))})
        campaign.store.database.rows("PRAGMA max_page_count = 1000000")
        with pytest.raises(NotFound):
            await campaign.store.files("big")
        assert await campaign.store.get(ResearchLoop, "kuhn") == loop
        await campaign.store.put_files("kuhn", "big", {"a": File(bytes(10**6))})

    asyncio.run(story())


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable, match="--dir"):
        LocalStore(tmp_path / "file" / "run")
    with pytest.raises(NotFound, match="rloop run"):
        LocalStore.read_only(tmp_path / "nothing")

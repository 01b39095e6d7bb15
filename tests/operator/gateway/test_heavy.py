"""One agent's request never holds up another agent: costly files are refused in time, and beats are answered."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
import yaml
from tests.hang import no_hang
from tests.operator.gateway.protocols.test_app import SPACE, World

from rloop.admit.content import Content, Texts
from rloop.errors import Refused
from rloop_operator.gateway.verbs import examiner
from rloop_operator.gateway.verbs.examiner import LIGHT_BYTES, Examiner
from rloop_operator.ports import File

YAML_TASK = {
    "recipe.yaml": File(b"mode: a\nx: 0.5\n"),
    "space.yaml": File(yaml.safe_dump({**SPACE, "file": "recipe.yaml"}).encode()),
}
TEXTS = Texts(
    task={"train.py": "print(1)\n"},
    parent={},
    editable=["**"],
    max_files=5,
    max_lines_per_file=100_000,
    space=None,
)
COSTLY = "mode: a\nx: 0.25\n" + "# a comment\n" * 10_000
ENDLESS = """
from rloop_operator.gateway.verbs import examination
examination.CPU_SECONDS = 2

def examine(files, texts):
    while True:
        pass

examination.examine = examine
examination.main()
"""
"""In the place of what would really take so long, if a limit did not refuse it before."""


def experiment(files: dict[str, str], sequence: int = 1) -> dict[str, Any]:
    return {"sequence": sequence, "title": "t", "files": files, "parent": "task"}


def test_beats_are_answered_while_a_costly_recipe_is_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examiner, "WALL_SECONDS", 60.0)
    monkeypatch.setattr(examiner, "COMMAND", [*examiner.COMMAND[:2], ENDLESS])
    world = World(YAML_TASK, boundaries__editable=["*"])
    world.direction()
    beats = 0

    async def play() -> httpx.Response:
        nonlocal beats
        headers = {"authorization": "Bearer good"}
        transport = httpx.ASGITransport(world.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
            body = experiment({"recipe.yaml": COSTLY})
            proposing = asyncio.create_task(client.post("/v1/experiments", json=body))
            while not proposing.done():
                assert (await client.post("/v1/heartbeat", json={})).status_code == 200
                beats += 1
                await asyncio.sleep(0.02)
            return await proposing

    reply = asyncio.run(play())
    assert (reply.status_code, reply.json()["reason"]) == (409, "TooCostly")
    assert beats > 10  # one in a row with the examination, if it held up the event loop


def test_eighty_kilobytes_of_newlines_are_refused_at_once() -> None:
    world = World()
    world.direction()
    with no_hang():
        code, reply = world.post("experiments", experiment({"recipe.json": "\n" * 80_000}))
    assert (code, reply["reason"]) == (409, "TooManyLines")


def test_what_is_too_large_is_refused_before_it_is_compared() -> None:
    world = World()
    world.direction()
    with no_hang():
        code, reply = world.post("experiments", experiment({"a.json": "\n" * 400_000, "b.json": "\n" * 200_000}))
    assert (code, reply["reason"]) == (409, "TooLarge")


LARGE = {"train.py": "print(2)\n" * (LIGHT_BYTES // 9 + 1)}


@pytest.mark.parametrize("files", [{"train.py": "print(2)\n"}, LARGE], ids=["small", "large"])
def test_a_large_request_is_answered_as_a_small_one(files: dict[str, str]) -> None:
    content = asyncio.run(Examiner().examine("s1", files, TEXTS))
    assert content == Content(files, {}, {}, content.digest)
    with pytest.raises(Refused, match="NothingChanged"):
        asyncio.run(Examiner().examine("s1", files, replace(TEXTS, task=files)))


def test_a_session_has_one_large_request_at_a_time_and_others_wait_for_it() -> None:
    async def play() -> list[Content | BaseException]:
        one = Examiner()
        requests = [one.examine(session, LARGE, TEXTS) for session in ("s1", "s1", "s2")]
        return await asyncio.gather(*requests, return_exceptions=True)

    first, again, other = asyncio.run(play())
    assert isinstance(first, Content)
    assert first == other
    assert isinstance(again, Refused)
    assert again.reason == "Busy"


def test_who_waits_too_long_is_told_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examiner, "QUEUE_SECONDS", 0.0)

    async def play() -> list[Content | BaseException]:
        one = Examiner()
        return await asyncio.gather(*(one.examine(s, LARGE, TEXTS) for s in ("s1", "s2")), return_exceptions=True)

    assert sorted(type(one).__name__ for one in asyncio.run(play())) == ["Content", "Refused"]


def test_what_needs_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is set by the process itself, so a smaller one is put into its source."""
    monkeypatch.setattr(examiner, "COMMAND", [*examiner.COMMAND[:2], LITTLE_MEMORY])
    with pytest.raises(Refused, match="TooCostly"):
        asyncio.run(Examiner().examine("s1", {"train.py": "x\n" * 200_000}, TEXTS))


LITTLE_MEMORY = """
import resource
from rloop_operator.gateway.verbs import examination
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
examination.MEMORY_BYTES = size + 4 * 2**20
examination.main()
"""

"""Explorers side by side and a checker after them, over HTTP: who sees what, and whose word counts."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from tests.support.builders import LLM
from tests.support.builders import loop as build_loop
from tests.support.restating import restate

from rloop import names
from rloop.api.experiment import ResearchExperiment, Run
from rloop.api.iteration import (
    ResearchIteration,
    ResearchIterationSpec,
    ResearchIterationStatus,
    Role,
    SessionSpec,
    SessionStatus,
)
from rloop.api.loop_status import Ending
from rloop.api.researchloop import ResearchLoop
from rloop.decide import children
from rloop_operator.beats import Beats
from rloop_operator.gateway.protocols.app import app
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.ports import Caller, File
from rloop_operator.sim.store import MemoryStore

TASK = {"train.py": File(b"print(0)\n")}


class Everybody:
    """An identity for which a token is a session's name."""

    async def caller(self, token: str, peer: str = "") -> Caller | None:
        return Caller(f"{token}-a1", "agent", "demo", token.rsplit("-", 1)[0], token)


class World:
    """Two explorers in the first iteration; the second brings a checker."""

    def __init__(self) -> None:
        self.store = MemoryStore(TASK)
        self.gateway = Gateway(
            self.store, Beats(lambda: 0.0), now=lambda: datetime(2026, 1, 1, tzinfo=UTC), changed=lambda: None
        )
        self.app = app(lambda _: self.gateway, Everybody())
        asyncio.run(self._begin())

    async def _begin(self) -> None:
        loop = await self.store.create(build_loop(agent=LLM, boundaries__editable=["*.py"]))
        await self.store.seal(loop)
        await self.open(1, "Investigate", "Refute")

    async def open(self, number: int, *roles: Role) -> None:
        name = names.iteration("demo", number)
        specs = [
            SessionSpec(
                name=names.session(name, index),
                role=role,
                max_rounds=15,
                session_seconds=60,
                max_experiments=0 if role in ("Check", "Report") else 3,
            )
            for index, role in enumerate(roles, start=1)
        ]
        spec = ResearchIterationSpec(loop_name="demo", number=number, generation=0, pivots=0, sessions=specs)
        status = ResearchIterationStatus(sessions=[SessionStatus(name=one.name, phase="Running") for one in specs])
        loop = build_loop()
        await self.store.create(ResearchIteration(metadata=children.metadata(loop, name), spec=spec, status=status))

    async def measure(self, name: str) -> None:
        """The verifier has scored its screening run."""
        run = Run(number=1, seed=1, kind="screen", phase="Done", value=0.5)
        await restate(self.store, ResearchExperiment, name, runs=[run])

    async def draw(self) -> None:
        """The outcome."""
        await restate(self.store, ResearchLoop, "demo", ending=Ending(reason="TargetMet", message="it is"))

    def call(self, session: str, method: str, path: str, body: object | None = None) -> tuple[int, Any]:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                content = None if body is None else json.dumps(body).encode()
                headers = {"authorization": f"Bearer demo-{session}"}
                return await client.request(method, f"/v1/{path}", content=content, headers=headers)

        reply = asyncio.run(send())
        return reply.status_code, reply.json() if reply.content else None

    def propose(self, session: str, text: str, sequence: int = 1, **changes: object) -> tuple[int, Any]:
        fields = {"hypothesis": f"{session} believes", "method": f"{text} is tried"}
        self.call(session, "POST", "directions", {"title": f"idea of {session}", "fields": fields})
        body = {"sequence": sequence, "title": f"try of {session}", "files": {"train.py": text}} | changes
        return self.call(session, "POST", "experiments", body)


@pytest.fixture
def world() -> World:
    return World()


def test_explorers_see_nothing_of_each_other_while_they_work(world: World) -> None:
    assert world.propose("i0001-s1", "print(1)\n")[0] == 200
    assert world.call("i0001-s1", "POST", "finish", {"handoff": "look at my idea"})[0] == 200
    _, context = world.call("i0001-s2", "GET", "context")
    assert context["session"]["role"] == "Refute"
    assert "i0001-s1" not in json.dumps(context)
    assert "my idea" not in json.dumps(context)
    assert world.call("i0001-s2", "GET", "experiments") == (200, [])
    assert world.call("i0001-s2", "GET", "experiments/demo-i0001-e1")[0] == 404
    assert world.propose("i0001-s2", "print(2)\n", parent="demo-i0001-e1")[1]["reason"] == "ParentUnknown"
    finding = {"statement": "s", "evidence": ["demo-i0001-e1"]}
    assert world.call("i0001-s2", "POST", "findings", finding)[1]["reason"] == "EvidenceUnknown"
    assert world.propose("i0001-s2", "print(1)\n")[1]["name"] == "demo-i0001-s2-e1", "an echo is no leak"


def test_a_budget_of_experiments_is_shared_though_siblings_are_not_seen(world: World) -> None:
    async def shrink() -> None:
        loop = build_loop(agent=LLM, boundaries__editable=["*.py"], budget__experiments=1)
        stored = world.store._objects["ResearchLoop"]["demo"]
        world.store._objects["ResearchLoop"]["demo"] = stored.model_copy(update={"spec": loop.spec})

    asyncio.run(shrink())
    assert world.propose("i0001-s1", "print(1)\n")[0] == 200
    assert world.propose("i0001-s2", "print(2)\n")[1]["reason"] == "LimitReached"


def found(world: World) -> None:
    """The first explorer has a measured experiment and a finding; the next iteration has begun."""
    world.propose("i0001-s1", "print(1)\n")
    asyncio.run(world.measure("demo-i0001-e1"))
    world.call("i0001-s1", "POST", "findings", {"statement": "one helps", "evidence": ["demo-i0001-e1"]})
    asyncio.run(world.open(2, "Investigate", "Check"))


def test_a_checker_judges_what_it_is_shown_and_proposes_nothing(world: World) -> None:
    found(world)
    _, context = world.call("i0002-s2", "GET", "context")
    assert [one["statement"] for one in context["claims"]] == ["one helps"]
    assert context["claims"][0]["evidence"][0]["values"] == {"screen": [0.5]}
    assert (context["direction"], context["directions"], context["handoff"]) == ("", [], None)
    for path, body in (
        ("directions", {"title": "mine", "fields": {"method": "another"}}),
        ("experiments", {"sequence": 1, "title": "t", "files": {"train.py": "print(3)\n"}}),
        ("experiments", {"sequence": 1, "title": "t", "files": {"train.py": "print(3)\n"}, "smoke": True}),
        ("findings", {"statement": "s", "evidence": ["demo-i0001-e1"]}),
    ):
        assert world.call("i0002-s2", "POST", path, body)[1]["reason"] == "Forbidden", path
    verdict = {"supported": False, "reason": "one run, within the noise"}
    code, told = world.call("i0002-s2", "POST", "findings/demo-i0001-f1/verdict", verdict)
    assert (code, told["checked"], told["reason"], told["checkedBy"]) == (
        200,
        "Refuted",
        "one run, within the noise",
        "demo-i0002-s2",
    )
    assert world.call("i0002-s2", "GET", "context")[1]["claims"] == []
    _, later = world.call("i0002-s1", "GET", "context")
    assert [(one["checked"], one["reason"]) for one in later["findings"]] == [("Refuted", "one run, within the noise")]


def test_a_report_writer_sees_all_and_only_states(world: World) -> None:
    found(world)
    asyncio.run(world.open(3, "Report"))
    _, context = world.call("i0003-s1", "GET", "context")
    assert [one["name"] for one in context["results"]] == ["demo-i0001-e1"]
    assert [one["statement"] for one in context["findings"]] == ["one helps"]
    for path, body in (
        ("directions", {"title": "mine", "fields": {"method": "another"}}),
        ("experiments", {"sequence": 1, "title": "t", "files": {"train.py": "print(3)\n"}}),
        ("experiments", {"sequence": 1, "title": "t", "files": {"train.py": "print(3)\n"}, "smoke": True}),
        ("findings/demo-i0001-f1/verdict", {"supported": True, "reason": "r"}),
    ):
        assert world.call("i0003-s1", "POST", path, body)[1]["reason"] == "Forbidden", path
    stated = world.call("i0003-s1", "POST", "findings", {"statement": "in sum", "evidence": ["demo-i0001-e1"]})
    assert stated[0] == 200
    assert world.call("i0003-s1", "POST", "findings", {"statement": "s", "evidence": ["demo-i0001-e9"]})[1][
        "reason"
    ] == ("EvidenceUnknown")
    asyncio.run(world.open(4, "Check"))
    _, context = world.call("i0004-s1", "GET", "context")
    assert [one["statement"] for one in context["claims"]] == ["one helps", "in sum"]


def test_once_the_outcome_is_drawn_only_the_report_goes_on(world: World) -> None:
    found(world)
    asyncio.run(world.open(3, "Report"))
    asyncio.run(world.draw())
    for session in ("i0001-s1", "i0002-s1", "i0002-s2"):
        assert world.call(session, "GET", "experiments")[0] == 200, session
        assert world.call(session, "POST", "findings", {"statement": "s", "evidence": ["demo-i0001-e1"]})[1][
            "reason"
        ] in ("Closed", "Forbidden")
    assert world.propose("i0002-s1", "print(4)\n")[1]["reason"] == "Closed"
    stated = world.call("i0003-s1", "POST", "findings", {"statement": "in sum", "evidence": ["demo-i0001-e1"]})
    assert stated[0] == 200


def test_the_first_verdict_stands_and_a_retry_is_no_error(world: World) -> None:
    found(world)
    path = "findings/demo-i0001-f1/verdict"
    first = world.call("i0002-s2", "POST", path, {"supported": True, "reason": "it is so"})
    assert first[1]["checked"] == "Supported"
    assert world.call("i0002-s2", "POST", path, {"supported": False, "reason": "no"}) == first
    assert world.call("i0002-s2", "POST", "findings/nobody/verdict", {"supported": True, "reason": "r"})[1][
        "reason"
    ] == ("FindingUnknown")


@pytest.mark.parametrize("session", ["i0001-s1", "i0001-s2", "i0002-s1"])
def test_nobody_else_judges(world: World, session: str) -> None:
    found(world)
    path = "findings/demo-i0001-f1/verdict"
    reply = world.call(session, "POST", path, {"supported": True, "reason": "of course"})
    assert (reply[0], reply[1]["reason"]) == (409, "Forbidden")
    (first, _) = asyncio.run(world.store.list(ResearchIteration, "demo"))
    assert first.status.reported.findings[0].checked is None


@pytest.mark.parametrize("body", [{"supported": True, "reason": ""}, {"supported": True}, {"reason": "r"}])
def test_a_verdict_has_a_reason(world: World, body: dict[str, Any]) -> None:
    found(world)
    assert world.call("i0002-s2", "POST", "findings/demo-i0001-f1/verdict", body)[0] == 422

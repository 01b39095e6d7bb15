"""The gateway over HTTP: who may call, what is refused and how, and a document that tells the truth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import yaml
from tests.support.builders import loop as build_loop
from tests.support.restating import restate

from rloop import names
from rloop.api.iteration import (
    ResearchIteration,
    ResearchIterationSpec,
    ResearchIterationStatus,
    SessionSpec,
    SessionStatus,
)
from rloop.api.loop_status import Ending
from rloop.api.researchloop import ResearchLoop
from rloop.decide import children
from rloop.errors import Blocked
from rloop.reasons import Reason
from rloop_operator.beats import Beats
from rloop_operator.gateway.protocols.answering import BODY_BYTES
from rloop_operator.gateway.protocols.app import app
from rloop_operator.gateway.protocols.openapi import document as openapi
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.gateway.verbs.table import VERBS
from rloop_operator.ports import Caller, File
from rloop_operator.sim.store import MemoryStore

SPACE = {
    "file": "recipe.json",
    "dimensions": [
        {"name": "mode", "key": "mode", "values": ["a", "b"], "default": "a", "structural": True, "field": "method"},
        {"name": "x", "key": "x", "low": 0.0, "high": 1.0, "default": 0.5},
    ],
}
TASK = {
    "recipe.json": File(b'{"mode": "a", "x": 0.5}'),
    "space.yaml": File(yaml.safe_dump(SPACE).encode()),
    "weights.bin": File(b"\xff\x00"),
}
ITERATION = "demo-i0001"
SESSION = f"{ITERATION}-s1"


class OneSession:
    """An identity that knows one agent and one run."""

    async def caller(self, token: str, peer: str = "") -> Caller | None:
        return {
            "good": Caller(f"{SESSION}-a1", "agent", "demo", ITERATION, SESSION),
            "run": Caller("demo-b01-r1-a1", "run", "demo", "demo-b01", ""),
        }.get(token)


PAPERS = {
    "notes/kuhn.md": File(b"# Kuhn poker\n"),
    "long.txt": File(("x" * 300_000).encode()),
    "scan.pdf": File(b"\xff\xfe"),
}


class World:
    """A loop with one open iteration behind the gateway."""

    def __init__(self, task: Mapping[str, File] = TASK, **spec: Any) -> None:
        self.store = MemoryStore(task, references=PAPERS)
        self.beats = Beats(lambda: 0.0)
        self.woken = 0
        self.gateway = Gateway(self.store, self.beats, now=lambda: datetime(2026, 1, 1, tzinfo=UTC), changed=self._wake)
        asyncio.run(self._fill(spec))
        self.app = app(lambda _: self.gateway, OneSession())

    def _wake(self) -> None:
        self.woken += 1

    async def _fill(self, changes: dict[str, Any]) -> None:
        loop = await self.store.create(build_loop(**changes))
        sealed = await self.store.seal(loop)
        await self.store.apply_status(
            loop.model_copy(update={"status": loop.status.model_copy(update={"sealed": sealed})})
        )
        session = SessionSpec(name=SESSION, max_rounds=15, session_seconds=60, max_experiments=2)
        spec = ResearchIterationSpec(loop_name="demo", number=1, generation=0, pivots=0, sessions=[session])
        status = ResearchIterationStatus(sessions=[SessionStatus(name=SESSION, phase="Running")])
        metadata = children.metadata(loop, names.iteration("demo", 1))
        await self.store.create(ResearchIteration(metadata=metadata, spec=spec, status=status))

    def request(
        self, method: str, path: str, content: bytes | None = None, token: str = "Bearer good"
    ) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, f"/v1/{path}", content=content, headers={"authorization": token})

        return asyncio.run(send())

    def get(self, path: str) -> Any:
        return self.request("GET", path).json()

    def post(self, path: str, body: object) -> tuple[int, Any]:
        reply = self.request("POST", path, json.dumps(body).encode())
        return reply.status_code, reply.json() if reply.content else None

    def direction(self, mode: str = "a") -> tuple[int, Any]:
        return self.post("directions", {"title": f"mode {mode}", "frame": {"mode": mode}})

    def experiment(self, sequence: int, x: float, **changes: object) -> tuple[int, Any]:
        files = {"recipe.json": json.dumps({"mode": "a", "x": x})}
        return self.post(
            "experiments", {"sequence": sequence, "title": "t", "files": files, "parent": "task"} | changes
        )

    def decide(self, **changes: object) -> None:
        """Change the loop's status, as a decision does."""

        asyncio.run(restate(self.store, ResearchLoop, "demo", **changes))


@pytest.fixture
def world() -> World:
    return World()


def test_a_stranger_is_turned_away(world: World) -> None:
    for token in ("", "Bearer bad", "Bearer ", "good", "Basic good"):
        reply = world.request("GET", "context", token=token)
        assert (reply.status_code, reply.json()["reason"]) == (401, "Unauthorized")


def test_a_run_has_no_agents_rights(world: World) -> None:
    reply = world.request("GET", "context", token="Bearer run")
    assert (reply.status_code, reply.json()["reason"]) == (409, "Forbidden")


def test_the_context_holds_what_a_fresh_session_needs(world: World) -> None:
    context = world.get("context")
    assert context["direction"] == "Find a better recipe."
    assert context["session"]["maxExperiments"] == 2
    assert context["space"]["file"] == "recipe.json"
    assert context["demand"] is None


def test_the_tasks_files_are_told_and_binary_ones_named(world: World) -> None:
    task = world.get("task")
    assert set(task["files"]) == {"recipe.json", "space.yaml"}
    assert task["binary"] == ["weights.bin"]
    assert task["editable"] == ["recipe.json"]


def test_an_experiment_needs_a_direction_first(world: World) -> None:
    assert world.experiment(1, 0.1)[1]["reason"] == "DirectionMissing"
    assert world.direction()[0] == 200
    code, reply = world.experiment(1, 0.1)
    assert (code, reply["name"], reply["phase"]) == (200, "demo-i0001-e1", "Queued")
    assert world.woken == 3, "once more than there are objects, for the note that the session proposes something"


def proposed(world: World) -> list[str]:
    return asyncio.run(world.store.get(ResearchIteration, ITERATION)).status.reported.proposed


@pytest.mark.parametrize(
    ("method", "path", "body", "counts"),
    [
        pytest.param("GET", "context", None, False, id="to read is not to play"),
        pytest.param("GET", "task", None, False, id="nor is the task"),
        pytest.param("GET", "experiments", None, False, id="nor what others did"),
        pytest.param("POST", "heartbeat", {"round": 1}, False, id="nor a beat"),
        pytest.param("POST", "finish", {"handoff": "bye"}, False, id="finish stands for itself"),
        pytest.param("POST", "experiments", {"sequence": "x"}, False, id="nor a body that is none"),
        pytest.param("POST", "directions", {"title": "b", "frame": {"mode": "b"}}, True, id="a direction"),
        pytest.param("POST", "directions", {"title": "c", "frame": {"mode": "c"}}, True, id="a refused one"),
        pytest.param(
            "POST", "experiments", {"sequence": 1, "title": "t", "files": {"a": "b"}}, True, id="an experiment"
        ),
        pytest.param("POST", "findings", {"statement": "s", "evidence": ["demo-b01"]}, True, id="a finding"),
        pytest.param(
            "POST",
            "findings/demo-i0001-s1-f1/verdict",
            {"supported": True, "reason": "r"},
            False,
            id="a verdict of an explorer",
        ),
    ],
)
def test_which_calls_say_that_a_session_plays(world: World, method: str, path: str, body: object, counts: bool) -> None:
    content = None if body is None else json.dumps(body).encode()
    for _ in range(2):
        world.request(method, path, content)
    assert proposed(world) == ([SESSION] if counts else [])


def test_a_call_of_a_session_is_a_sign_of_life(world: World) -> None:
    now = [0.0]
    world.beats = Beats(lambda: now[0])
    world.gateway._beats = world.beats
    asyncio.run(world.beats.expect("demo", {SESSION: 0}))
    for method, path in (("GET", "context"), ("POST", "directions"), ("GET", "nowhere-at-all")):
        now[0] += 100
        world.request(method, path, b"{}" if method == "POST" else None)
        (beat,) = asyncio.run(world.beats.read()).values()
        assert (beat.age_seconds == 0) is (path != "nowhere-at-all")


def test_a_session_that_has_finished_is_told_so_by_its_beat(world: World) -> None:
    assert world.post("heartbeat", {"round": 1})[1]["closing"] is False
    world.post("finish", {"handoff": "bye"})
    assert world.post("heartbeat", {"round": 1})[1]["closing"] is True


def test_a_retried_request_is_the_same_experiment(world: World) -> None:
    world.direction()
    assert world.experiment(1, 0.1) == world.experiment(1, 0.1)
    assert len(world.get("experiments")) == 1
    assert world.experiment(1, 0.2)[1]["reason"] == "SequenceTaken"
    assert world.experiment(2, 0.1)[1]["reason"] == "Duplicate"


def test_a_session_has_its_number_of_experiments(world: World) -> None:
    world.direction()
    assert [world.experiment(n, n / 10)[0] for n in (1, 2)] == [200, 200]
    assert world.experiment(3, 0.3) == (
        409,
        {"reason": "LimitReached", "message": "this session has proposed all of its 2 experiments: POST finish"},
    )


def test_after_a_demand_to_pivot_nothing_is_admitted_before_a_new_frame(world: World) -> None:
    world.direction()
    world.decide(pivots=1)
    assert world.get("context")["demand"] == "Pivot"
    assert world.experiment(1, 0.1)[1]["reason"] == "PivotRequired"
    assert world.direction("a")[1]["reason"] == "NotNew"
    assert world.direction("b")[1]["pivot"] == 1
    assert world.experiment(1, 0.1)[1]["reason"] == "OutsideFrame"
    moved = {"recipe.json": json.dumps({"mode": "b", "x": 0.1})}
    assert world.experiment(1, 0.1, files=moved)[0] == 200


def test_one_experiment_is_told_with_its_difference(world: World) -> None:
    world.direction()
    world.experiment(1, 0.25)
    detail = world.get("experiments/demo-i0001-e1")
    assert '+{"mode": "a", "x": 0.25}' in detail["difference"]
    assert world.request("GET", "experiments/nobody").status_code == 404


def test_a_smoke_test_is_told_as_one_and_takes_no_experiment_away(world: World) -> None:
    world.direction()
    code, reply = world.experiment(1, 0.25, smoke=True)
    assert (code, reply["smoke"], reply["phase"]) == (200, True, "Queued")
    assert [world.experiment(n, x)[0] for n, x in ((2, 0.25), (3, 0.75))] == [200, 200]
    context = world.get("context")
    assert (context["session"]["nextSequence"], context["session"]["maxSmokes"]) == (4, 2)
    assert [one["name"] for one in context["results"]] == ["demo-i0001-e2", "demo-i0001-e3"]
    assert [one["smoke"] for one in world.get("experiments")] == [True, False, False]


def test_a_finding_needs_measured_evidence(world: World) -> None:
    world.direction()
    world.experiment(1, 0.1)
    assert world.post("findings", {"statement": "s", "evidence": ["nobody"]})[1]["reason"] == "EvidenceUnknown"
    assert (
        world.post("findings", {"statement": "s", "evidence": ["demo-i0001-e1"]})[1]["reason"] == "EvidenceUnmeasured"
    )


def test_a_nudge_is_told_once_at_the_next_beat(world: World) -> None:
    asyncio.run(world.beats.nudge(SESSION, "go on"))
    assert world.post("heartbeat", {"round": 3})[1]["nudge"] == "go on"
    assert world.post("heartbeat", {"round": 3})[1]["nudge"] is None


def test_a_beat_is_told_that_its_session_is_over(world: World) -> None:
    assert world.post("heartbeat", {"round": 1})[1]["closing"] is False
    world.gateway.closing = True
    assert world.post("heartbeat", {"round": 1}) == (200, {"nudge": None, "closing": True})
    world.gateway.closing = False
    world.decide(ending=Ending(reason="TargetMet", message="it is"))
    assert world.post("heartbeat", {"round": 1})[1]["closing"] is True


def test_a_finished_session_is_closed(world: World) -> None:
    assert world.post("finish", {"handoff": "all done"}) == (200, {"note": ""})
    assert world.post("finish", {"handoff": "all done"}) == (200, {"note": ""})
    assert "ignored" in world.post("finish", {"handoff": "again"})[1]["note"]
    assert world.post("finish", {}) == (200, {"note": ""})
    assert world.direction()[1]["reason"] == "Closed"
    assert world.get("context")["handoff"]["text"] == "all done"


def test_drafts_go_to_the_next_session(world: World) -> None:
    drafts = {"idea/train.py": "print(1)\n", "notes.md": "half a thought"}
    assert world.post("finish", {"handoff": "go on", "drafts": drafts})[0] == 200
    assert world.get("context")["handoff"] == {"session": SESSION, "text": "go on", "drafts": drafts}
    (iteration,) = asyncio.run(world.store.list(ResearchIteration, "demo"))
    assert "half a thought" not in iteration.model_dump_json(), "the status stays small"


def test_drafts_that_an_earlier_process_left_stand(world: World) -> None:
    async def earlier() -> None:
        await world.store.put_files("demo", names.drafts(SESSION), {"a": File(b"first")})

    asyncio.run(earlier())
    assert world.post("finish", {"handoff": "go on", "drafts": {"a": "second"}})[0] == 200
    assert world.get("context")["handoff"]["drafts"] == {"a": "first"}


@pytest.mark.parametrize(
    ("drafts", "reason"),
    [({"a": "x" * 65_537}, "TooLarge"), ({"../a": "x"}, "PathInvalid"), ({"/etc/passwd": "x"}, "PathInvalid")],
)
def test_drafts_that_cannot_be_kept_are_refused_and_the_session_may_finish_without(
    world: World, drafts: dict[str, str], reason: str
) -> None:
    assert world.post("finish", {"handoff": "go on", "drafts": drafts})[1]["reason"] == reason
    assert world.post("finish", {"handoff": "go on"})[0] == 200


def test_references_are_listed_and_read(world: World) -> None:
    assert world.get("context")["references"] == 3
    assert world.get("references") == [
        {"path": "long.txt", "size": 300_000, "text": True},
        {"path": "notes/kuhn.md", "size": 13, "text": True},
        {"path": "scan.pdf", "size": 2, "text": False},
    ]
    assert world.get("references/notes/kuhn.md") == {"path": "notes/kuhn.md", "text": "# Kuhn poker\n", "leftOut": 0}
    long = world.get("references/long.txt")
    assert (len(long["text"]), long["leftOut"]) == (262_144, 300_000 - 262_144)
    assert world.get("references/scan.pdf")["reason"] == "NotText"


@pytest.mark.parametrize("path", ["nobody", "../demo-task", "notes", "%2e%2e/loop.db", "/etc/passwd"])
def test_nothing_but_references_is_read_as_one(world: World, path: str) -> None:
    assert world.request("GET", f"references/{path}").status_code == 404


def test_an_operator_that_is_ending_closes_its_sessions(world: World) -> None:
    world.gateway.closing = True
    assert world.direction()[1]["reason"] == "Closed"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "body"),
        (b'{"title": ""}', "title"),
        (b'{"title": "t", "color": "red"}', "color"),
        (b'{"title": "t", "frame": {"mode": 3}}', "frame.mode"),
        (b"\xff\xfe", "body"),
        (b" " * (BODY_BYTES + 1), "larger than"),
    ],
    ids=["cut off", "empty title", "unknown field", "wrong type", "not UTF-8", "too large"],
)
def test_a_malformed_body_is_named(world: World, body: bytes, words: str) -> None:
    reply = world.request("POST", "directions", body)
    assert reply.status_code == 422
    assert reply.json()["reason"] == "Malformed"
    assert words in reply.json()["message"]


def test_the_document_says_what_the_gateway_does(world: World) -> None:
    """What a schema-driven tester found: each of these was documented in another way."""
    document = openapi()
    assert world.post("heartbeat", {"round": 326.0})[0] == 200
    assert world.request("POST", "heartbeat").status_code == 200
    assert document["paths"]["/v1/heartbeat"]["post"]["requestBody"]["required"] is False
    assert document["paths"]["/v1/directions"]["post"]["requestBody"]["required"] is True
    claims = document["components"]["schemas"]["ProgressRequest"]["properties"]["claims"]
    assert claims["additionalProperties"] is False
    reply = world.request("OPTIONS", "experiments")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD, POST")
    for path in ("nobody", "experiments/nobody"):
        reply = world.request("GET", path)
        assert (reply.status_code, reply.headers["content-type"]) == (404, "application/json")
        assert reply.json()["reason"] == "NotFound"


def test_the_document_covers_every_verb() -> None:
    document = openapi()
    assert {(path, method.upper()) for path, verbs in document["paths"].items() for method in verbs} == {
        (verb.path, verb.method) for verb in VERBS
    }
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in document["components"]["schemas"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            Blocked(Reason.SEALED_FILES_LOST, "demo-task", "the sealed files were deleted; apply them again"),
            "apply them again",
        ),
        (Blocked(Reason.QUOTA_EXCEEDED, "demo-task", "of a secret neighbour"), "try again"),
    ],
)
def test_files_that_cannot_be_read_are_told_with_their_remedy(
    monkeypatch: pytest.MonkeyPatch, error: Blocked, told: str
) -> None:
    async def lost(_: str) -> Any:
        raise error

    world = World()
    monkeypatch.setattr(world.store, "files", lost)
    reply = world.request("GET", "task")
    assert (reply.status_code, reply.json()["reason"]) == (503, "Unavailable")
    assert told in reply.json()["message"]
    assert "neighbour" not in reply.text

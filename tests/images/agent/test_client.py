"""The gateway over HTTP, against a real server on loopback; and the process as a whole."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.agent_gateway import TOKEN, Answer, Server, problem

from rloop.api.wire import (
    DirectionRequest,
    ExperimentRequest,
    FindingRequest,
    FinishRequest,
    HeartbeatRequest,
)
from rloop_agent.client import Client
from rloop_agent.gateway import AgentError, Closed, Refused, Unauthorized, Unreachable
from rloop_agent.heart import Heart
from rloop_agent.testing import SESSION, FakeGateway, a_context


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.close()


class Clock:
    """Time passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return False


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(server: Server, clock: Clock) -> Iterator[Client]:
    one = Client(server.url, lambda: TOKEN, wait=clock.wait, clock=clock)
    yield one
    one.close()


def test_every_verb_goes_over_the_wire(server: Server, client: Client) -> None:
    assert client.context() == server.gateway.context()
    assert client.task() == server.gateway.task()
    direction = client.post_direction(DirectionRequest(title="as it is", frame={"method": "plain"}))
    assert server.gateway.directions == [direction]
    request = ExperimentRequest(sequence=1, title="one", files={"recipe.json": "{}"})
    view = client.post_experiment(request.model_copy(update={"direction": direction.name}))
    assert client.experiments() == [view]
    assert client.experiment(view.name).name == view.name
    assert client.post_finding(FindingRequest(statement="so", evidence=[view.name])).evidence == [view.name]
    client.heartbeat(HeartbeatRequest(round=3))
    assert server.gateway.beats == [3]
    client.finish(FinishRequest(handoff="bye"))
    assert server.gateway.handoff == "bye"
    assert server.tokens == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (problem(401, "Unauthorized", "no such session"), Unauthorized, "no such session"),
        (problem(409, "Closed", "the loop is complete"), Closed, "the loop is complete"),
        (problem(409, "PivotRequired", "first a direction"), Refused, "PivotRequired: first a direction"),
        (problem(422, "Malformed", "title: too long"), Refused, "Malformed: title: too long"),
        ((404, b"<html>not found</html>"), Refused, "Http404: <html>not found</html>"),
        ((200, b'{"loop": 5}'), Unreachable, "different versions"),
    ],
)
def test_an_answer_that_is_no_success_says_what_it_is(
    server: Server, client: Client, clock: Clock, answer: Answer, error: type[AgentError], text: str
) -> None:
    server.intercept = lambda _verb, _path: answer
    with pytest.raises(error) as caught:
        client.context()
    assert text in str(caught.value)
    assert clock.waits == []


@pytest.mark.parametrize(
    "trouble", [(503, b"starting"), (500, b""), (429, b""), (0, b""), problem(409, "Busy", "try again")]
)
def test_a_gateway_that_comes_back_is_waited_for(server: Server, client: Client, clock: Clock, trouble: Answer) -> None:
    left = [4]

    def away(_verb: str, _path: str) -> Answer | None:
        left[0] -= 1
        return trouble if left[0] >= 0 else None

    server.intercept = away
    assert client.context() == server.gateway.context()
    assert len(clock.waits) == 4
    assert all(0 <= wait <= 0.25 * 2**n for n, wait in enumerate(clock.waits))


def test_a_lost_answer_makes_no_second_experiment(server: Server, client: Client) -> None:
    direction = client.post_direction(DirectionRequest(title="as it is"))
    body = ExperimentRequest(sequence=1, title="one", direction=direction.name, files={"recipe.json": "{}"})
    lost = [True]

    def lose(verb: str, path: str) -> Answer | None:
        if (verb, path) == ("POST", "/v1/experiments") and lost.pop():
            server.gateway.post_experiment(body)
            lost.append(False)
            return 0, b""
        return None

    server.intercept = lose
    assert client.post_experiment(body).name == "demo-i0001-e1"
    assert len(server.gateway.views) == 1


def test_a_gateway_that_stays_away_is_given_up_in_order(server: Server, client: Client, clock: Clock) -> None:
    server.close()
    with pytest.raises(Unreachable, match=r"GET /v1/context: no answer within 300 s; last attempt: ConnectError"):
        client.context()
    assert clock.now <= 300
    assert max(clock.waits) <= 15


def test_a_request_that_is_not_repeated_names_no_time(server: Server, clock: Clock) -> None:
    server.intercept = lambda _verb, _path: (503, b"starting")
    said: list[object] = []
    client = Client(server.url, lambda: TOKEN, patience=0, wait=clock.wait, clock=clock)

    def log(level: str, event: str, **facts: object) -> None:
        said.append((level, event, facts))

    assert Heart(client, 30, log).beat()
    assert said == [("warning", "heartbeat failed", {"error": "POST /v1/heartbeat: HTTP 503: starting"})]
    assert clock.waits == []
    client.close()


def test_a_process_that_is_told_to_end_waits_no_longer(server: Server) -> None:
    server.intercept = lambda _verb, _path: (503, b"")
    client = Client(server.url, lambda: TOKEN, wait=lambda _seconds: True)
    with pytest.raises(Unreachable, match="interrupted while waiting"):
        client.context()
    client.close()


def test_the_heart_carries_the_round_and_hears_of_the_end() -> None:
    gateway = FakeGateway()
    heart = Heart(gateway, 30)
    heart.on_round(4)
    assert heart.beat()
    assert gateway.beats == [4]
    gateway.refuse = lambda _verb, _request: Unreachable("away")
    assert heart.beat()
    heart.on_round(5)
    gateway.refuse = lambda _verb, _request: Closed("enough")
    assert not heart.beat()
    with pytest.raises(Closed, match="enough"):
        heart.on_round(6)


def test_the_heart_beats_by_itself_until_it_is_closed() -> None:
    over = threading.Event()
    gateway = FakeGateway()

    def third(_verb: str, _request: object) -> AgentError | None:
        if len(gateway.beats) < 2:
            return None
        over.set()
        return Closed("enough")

    gateway.refuse = third
    heart = Heart(gateway, 0.001)
    heart.start()
    assert over.wait(60)
    heart.stop()


def start(server: Server, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "RLOOP_GATEWAY": server.url,
        "RLOOP_TOKEN": TOKEN,
        "RLOOP_SESSION": SESSION,
        "RLOOP_POLICY": "random-search",
        "RLOOP_POLICY_SEED": "7",
        "RLOOP_HEARTBEAT_SECONDS": "30",
    }
    environment |= changes
    return subprocess.run(
        [sys.executable, "-m", "rloop_agent"],
        env={name: value for name, value in environment.items() if value},
        check=False,
        capture_output=True,
        text=True,
    )


def lines(process: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.stdout.splitlines()]


def test_a_process_lives_one_session(server: Server) -> None:
    process = start(server)
    assert (process.returncode, process.stderr) == (0, "")
    assert server.gateway.verbs[0] == "heartbeat"
    assert len(server.gateway.requests) == 5
    assert server.gateway.handoff is not None
    assert {"ts", "level", "event"} <= set(lines(process)[0])
    assert TOKEN not in process.stdout


def test_a_process_survives_a_gateway_that_is_restarted(server: Server) -> None:
    troubles = {"/v1/heartbeat": 1, "/v1/context": 2, "/v1/experiments": 2, "/v1/finish": 1}

    def away(_verb: str, path: str) -> Answer | None:
        troubles[path] = troubles.get(path, 0) - 1
        return (503, b"") if troubles[path] >= 0 else None

    server.intercept = away
    process = start(server)
    assert (process.returncode, process.stderr) == (0, "")
    assert len(server.gateway.requests) == 5
    assert server.gateway.handoff is not None


@pytest.mark.parametrize("path", ["/v1/heartbeat", "/v1/context", "/v1/experiments"])
def test_a_closed_process_ends_with_success(server: Server, path: str) -> None:
    server.intercept = lambda _verb, asked: problem(409, "Closed", "enough") if asked == path else None
    process = start(server)
    assert (process.returncode, process.stderr) == (0, "")
    assert lines(process)[-1]["event"] == "closed"


def test_a_refused_token_is_a_failure_with_a_sentence(server: Server) -> None:
    server.intercept = lambda _verb, _path: problem(401, "Unauthorized", "the session is not running")
    process = start(server)
    assert process.returncode == 1
    assert "rejects this session's token: the session is not running" in lines(process)[-1]["message"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"RLOOP_TOKEN": ""}, "RLOOP_TOKEN is not set"),
        (
            {"RLOOP_POLICY": "best-first"},
            "not supported yet; use one of random-search, coordinate-search, tpe, cma-es",
        ),
        ({"RLOOP_POLICY_SEED": "seven"}, "RLOOP_POLICY_SEED is 'seven'"),
        ({"RLOOP_HEARTBEAT_SECONDS": "0"}, "must be greater than 0"),
    ],
)
def test_a_wrong_environment_is_named(server: Server, changes: dict[str, str], sentence: str) -> None:
    process = start(server, **changes)
    assert process.returncode == 2
    assert sentence in lines(process)[-1]["message"]


def test_no_space_is_an_orderly_end(server: Server) -> None:
    server.gateway.given = a_context(space=None)
    process = start(server)
    assert process.returncode == 0
    assert "space.yaml" in (server.gateway.handoff or "")


def test_the_start_loads_no_more_than_it_needs() -> None:
    heavy = {"yaml", "numpy", "scipy", "structlog", "asyncio.base_events", "rloop.decide", "rloop_operator"}
    code = f"import sys, rloop_agent.__main__; print(sorted({heavy!r} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert json.loads(shown.replace("'", '"')) in ([], ["asyncio.base_events"])

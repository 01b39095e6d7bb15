"""The relay tells what has changed, outlives the gateway, and has a last word."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from rloop.api.helpers import ProgressRequest
from rloop_sidecar.environment import BadEnvironment
from rloop_sidecar.gateway import Away
from rloop_sidecar.gateway import Gateway as HttpGateway
from rloop_sidecar.relay import LAST_WORD_SECONDS, Relay, Settings, settings


class Gateway:
    """Takes what it is told, unless it is away."""

    def __init__(self) -> None:
        self.told: list[ProgressRequest] = []
        self.away = False
        self.refusal: str | None = None
        self.tries = 0

    def post(self, progress: ProgressRequest) -> str | None:
        self.tries += 1
        if self.away:
            raise Away("ConnectError")
        self.told.append(progress)
        return self.refusal


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def relay(tmp_path: Path, gateway: Gateway) -> Relay:
    return Relay(Settings("http://gateway", tmp_path / "token", tmp_path, "kuhn-b01", 2, 3, 2.0), gateway)


def step(folder: Path, number: int) -> None:
    with (folder / "progress.jsonl").open("a") as file:
        file.write(json.dumps({"step": number}) + "\n")


def test_the_curve_grows_with_the_file(tmp_path: Path, relay: Relay, gateway: Gateway) -> None:
    for number in range(3):
        with (tmp_path / "progress.jsonl").open("a") as file:
            file.write(json.dumps({"step": number, "loss": 1.0 - number / 10}) + "\n")
        relay.look()
    (curve,) = gateway.told[-1].curves
    assert (curve.metric, curve.steps, curve.values) == ("loss", [0, 1, 2], [1.0, 0.9, 0.8])


def test_only_a_change_is_told(tmp_path: Path, relay: Relay, gateway: Gateway) -> None:
    relay.look()
    assert gateway.tries == 0
    step(tmp_path, 1)
    relay.look()
    relay.look()
    (tmp_path / "claims.json").write_text('{"loss": 0.5}')
    relay.look()
    relay.look()
    assert gateway.told == [
        ProgressRequest(run=2, attempt=3, step=1),
        ProgressRequest(run=2, attempt=3, step=1, claims={"loss": 0.5}),
    ]


def test_what_was_read_once_stays(tmp_path: Path, relay: Relay, gateway: Gateway) -> None:
    step(tmp_path, 1)
    (tmp_path / "claims.json").write_text('{"loss": 0.5}')
    relay.look()
    (tmp_path / "progress.jsonl").unlink()
    (tmp_path / "claims.json").write_text('{"loss": 0.')
    relay.look()
    assert len(gateway.told) == 1


def test_a_gateway_that_is_away_is_tried_again_less_and_less_often(
    tmp_path: Path, relay: Relay, gateway: Gateway
) -> None:
    gateway.away = True
    step(tmp_path, 1)
    assert [relay.look() for _ in range(5)] == [4.0, 8.0, 15.0, 15.0, 15.0]
    gateway.away = False
    step(tmp_path, 2)
    assert relay.look() == 2.0
    assert [one.step for one in gateway.told] == [2]


def test_what_is_refused_for_good_is_told_once(tmp_path: Path, relay: Relay, gateway: Gateway) -> None:
    gateway.refusal = "HTTP 404: no such experiment"
    step(tmp_path, 1)
    assert [relay.look(), relay.look()] == [2.0, 2.0]
    assert gateway.tries == 1


def test_the_last_state_is_told_once_more(tmp_path: Path, relay: Relay, gateway: Gateway) -> None:
    step(tmp_path, 1)
    relay.look()
    step(tmp_path, 2)
    relay.last_word()
    assert [one.step for one in gateway.told] == [1, 2]


def test_a_run_that_said_nothing_has_no_last_word(relay: Relay, gateway: Gateway) -> None:
    relay.last_word()
    assert gateway.tries == 0


def test_a_pod_does_not_wait_for_ever_for_a_last_word(tmp_path: Path, relay: Relay, gateway: Gateway) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    gateway.away = True
    step(tmp_path, 1)
    relay.last_word(clock=lambda: now, sleep=sleep)
    assert 1 < gateway.tries <= LAST_WORD_SECONDS
    assert now < LAST_WORD_SECONDS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RLOOP_GATEWAY", ""),
        ("RLOOP_RUN", "0"),
        ("RLOOP_ATTEMPT", "two"),
        ("RLOOP_RELAY_SECONDS", "0"),
        ("RLOOP_RELAY_SECONDS", "nan"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str) -> None:
    right = {
        "RLOOP_GATEWAY": "http://gateway:8080",
        "RLOOP_TOKEN_FILE": "/token",
        "RLOOP_ARTIFACTS": "/artifacts",
        "RLOOP_EXPERIMENT": "kuhn-b01",
        "RLOOP_RUN": "1",
        "RLOOP_ATTEMPT": "1",
    }
    assert settings(right).seconds == 2.0
    with pytest.raises(BadEnvironment, match=name):
        settings(right | {name: value})


@pytest.mark.parametrize("url", ["gateway:8080", "ftp://gateway", "http://", "http://gateway:port", "http://[gateway"])
def test_a_wrong_url_is_named(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadEnvironment, match="RLOOP_GATEWAY is"):
        HttpGateway(url, tmp_path / "token")


class Server(ThreadingHTTPServer):
    """A gateway that writes down what it gets, and is away for the first request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[str, str, object]] = []
        self.answers = [503]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.server.answers.pop(0) if self.server.answers else 204
        if status == 204:
            self.server.got.append((self.path, self.headers["Authorization"], body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def until(server: Server, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(server.got) < count:
        assert time.monotonic() < deadline, server.got
        time.sleep(0.02)


def test_the_process_relays_with_the_newest_token_and_ends_in_order(tmp_path: Path, server: Server) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    environment = {
        "RLOOP_GATEWAY": f"http://127.0.0.1:{server.server_port}",
        "RLOOP_TOKEN_FILE": str(token),
        "RLOOP_ARTIFACTS": str(tmp_path),
        "RLOOP_EXPERIMENT": "kuhn-b01",
        "RLOOP_RUN": "1",
        "RLOOP_ATTEMPT": "1",
        "RLOOP_RELAY_SECONDS": "0.05",
        "http_proxy": "http://127.0.0.1:1",  # must not be used
        "PYTHONPATH": ":".join(sys.path),
    }
    command = [sys.executable, "-m", "rloop_sidecar", "relay"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        step(tmp_path, 1)
        until(server, 1)
        token.write_text("second\n")
        step(tmp_path, 2)
        until(server, 2)
        (tmp_path / "claims.json").write_text('{"loss": 0.25}')
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    body = {"run": 1, "attempt": 1, "step": 1, "claims": {}, "curves": []}
    last = body | {"step": 2, "claims": {"loss": 0.25}}
    assert server.got[0] == ("/v1/progress", "Bearer first", body)
    assert server.got[1] == ("/v1/progress", "Bearer second", body | {"step": 2})
    assert server.got[-1] == ("/v1/progress", "Bearer second", last)
    events = [json.loads(line)["event"] for line in out.splitlines()]
    assert (events[0], events[-1]) == ("started", "ended")
    assert "gateway away" in events


def test_a_wrong_environment_ends_the_process_with_two() -> None:
    for arguments in (["relay"], ["unpack"], []):
        command = [sys.executable, "-m", "rloop_sidecar", *arguments]
        ended = subprocess.run(
            command, env={"PYTHONPATH": ":".join(sys.path)}, check=False, capture_output=True, text=True
        )
        assert (ended.returncode, bool(ended.stderr)) == (2, True), arguments

"""docs/bring-your-own-agent.md is whole: every verb, tool and refusal stands in it, and what it tells to use works."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from shutil import which

import pytest
from typing_extensions import override

from rloop.api.wire import HeartbeatReply
from rloop_operator.gateway.protocols.mcp_server import tools

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/bring-your-own-agent.md").read_text()
BEATING = ROOT / "examples/05-own-agent/beating.sh"


def test_every_verb_and_tool_is_told() -> None:
    rows = re.findall(r"^\| `(GET|POST) (\S+)` \| `(\w+)` \|", PAGE, re.MULTILINE)
    assert {(tool, method, path) for method, path, tool in rows} == {
        (name, verb.method, verb.path) for name, verb in tools().items()
    }


def test_every_refusal_is_told() -> None:
    folders = ("controllers/rloop/admit", "operator/rloop_operator/gateway")
    sources = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    raised = {reason for file in sources for reason in re.findall(r'Refused\(\s*"(\w+)"', file.read_text())}
    told = set(re.findall(r"\w+", " ".join(re.findall(r"^\| \d+ \| ([^|]+) \|", PAGE, re.MULTILINE))))
    assert raised - told == {"SpaceInvalid"}  # a defect of ours: it was valid when the campaign was accepted
    assert told - raised == {"Unauthorized"}


class Beats(BaseHTTPRequestHandler):
    seen: Queue[tuple[str, str | None, bytes]] = Queue()
    answer = b'{"nudge":null,"closing":false}'

    @override
    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.put((self.path, self.headers["Authorization"], body))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A gateway that only hears beats, and the variables of an agent."""
    (tmp_path / "token").write_text("secret\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), Beats) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield {
            "PATH": "/usr/bin:/bin",
            "RLOOP_TOKEN_FILE": str(tmp_path / "token"),
            "RLOOP_GATEWAY": f"http://127.0.0.1:{server.server_address[1]}",
            "RLOOP_HEARTBEAT_SECONDS": "0.05",
        }
        server.shutdown()


NEEDS_CURL = pytest.mark.skipif(which("curl") is None, reason="the script needs curl")


@NEEDS_CURL
def test_the_script_beats_while_its_agent_lives_and_ends_with_it(env: dict[str, str]) -> None:
    agent = ["sh", str(BEATING), "sh", "-c", "read line; echo $line; exit 7"]
    with subprocess.Popen(agent, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(3):
            assert Beats.seen.get(timeout=30) == ("/v1/heartbeat", "Bearer secret", b"{}")
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("done\n")
        process.stdin.close()
        assert process.wait(timeout=30) == 7
        # The pipe is at its end only when what beats has ended too.
        assert process.stdout.read() == "done\n"


@NEEDS_CURL
def test_the_script_ends_its_agent_when_the_session_is_over(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = ["sh", str(BEATING), "sh", "-c", "trap 'echo handed over; exit 0' TERM; while :; do sleep 0.05; done"]
    with subprocess.Popen(agent, env=env, stdout=subprocess.PIPE, text=True) as process:
        Beats.seen.get(timeout=30)
        over = HeartbeatReply(closing=True).model_dump_json(by_alias=True)
        monkeypatch.setattr(Beats, "answer", over.encode())
        assert process.wait(timeout=30) == 0
        assert process.stdout is not None
        assert process.stdout.read() == "handed over\n"

"""The wrapper's process with programs that stand for a client: how it is started, ended, and handed over for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.agent_gateway import TOKEN, Server

from rloop.api.agent import PROGRAMS, ClientName
from rloop.api.wire import DirectionRequest, UsageReport
from rloop.decide.queries import session_outcome
from rloop_agent.testing import SESSION

FRAME = {"method": "plain", "loss": "1"}


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


class Session:
    """One process of the wrapper, whose client is a program of the test's."""

    def __init__(
        self, server: Server, folder: Path, program: str | None, name: ClientName = "opencode", **env: str
    ) -> None:
        self.folder = folder
        programs = folder / "bin"
        programs.mkdir()
        if program is not None:
            client = programs / PROGRAMS[name].executable
            client.write_text(f"#!{sys.executable}\n{program}")
            client.chmod(0o755)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rloop_agent"],
            cwd=folder,
            env={
                "PATH": f"{programs}:/usr/bin:/bin",
                "HOME": str(folder),
                "RLOOP_GATEWAY": server.url,
                "RLOOP_TOKEN": TOKEN,
                "RLOOP_SESSION": SESSION,
                "RLOOP_HEARTBEAT_SECONDS": "0.2",
                "RLOOP_CLIENT": name,
                "RLOOP_CLIENT_ARGS": '["--mine"]',
                "RLOOP_LLM_PROXY": "http://127.0.0.1:1/v1",
                "RLOOP_LLM_MODEL": "m",
                "RLOOP_TRANSCRIPTS": str(folder / "transcripts"),
                **env,
            },
            stdout=subprocess.PIPE,
            text=True,
        )

    def ended(self) -> tuple[int, str]:
        """Exit code, and the last line, which the campaign shows."""
        out, _ = self.process.communicate(timeout=60)
        return self.process.returncode, out.strip().splitlines()[-1]

    def transcript(self) -> str:
        (file,) = (self.folder / "transcripts").iterdir()
        return file.read_text()


def test_a_client_gets_its_folder_its_brief_and_its_configuration(server: Server, tmp_path: Path) -> None:
    looks = """
import json, pathlib, sys
print("started with", sys.argv[1:], sys.stdin.read())
print(sorted(str(one) for one in pathlib.Path().rglob("*") if one.is_file()))
"""
    session = Session(server, tmp_path, looks)
    code, last = session.ended()
    assert code == 0
    files = json.loads(last.replace("'", '"'))
    assert files == ["AGENTS.md", "CLAUDE.md", "GEMINI.md", "opencode.json", "prompt.md", "task/recipe.json"]
    told = session.transcript()
    assert "'--mine'" in told
    assert "Find a better recipe." in told
    assert TOKEN not in told


def test_the_log_has_what_the_model_says_without_keys_and_without_end(server: Server, tmp_path: Path) -> None:
    says = f"""
import json
for text in ("I use {TOKEN}.", "y" * 9000):
    print(json.dumps({{"type": "text", "part": {{"text": text}}}}))
"""
    session = Session(server, tmp_path, says)
    out, _ = session.process.communicate(timeout=60)
    told = [line for line in map(json.loads, out.splitlines()[:-1]) if line["event"] == "model"]
    assert [line["text"] for line in told] == ["I use [redacted].", f"{'y' * 2000}…"]
    assert "y" * 9000 in session.transcript()


def test_a_client_that_did_nothing_leaves_no_handoff_and_its_words_are_shown(server: Server, tmp_path: Path) -> None:
    code, last = Session(server, tmp_path, 'print("Not logged in: run /login"); raise SystemExit(1)').ended()
    assert (code, last) == (1, "Not logged in: run /login")
    assert server.gateway.handoff is None


def test_a_client_that_said_nothing_at_all_is_said_to_have_said_nothing(server: Server, tmp_path: Path) -> None:
    assert Session(server, tmp_path, "").ended() == (0, "the client said nothing")


def test_a_client_that_is_not_installed_is_named_and_not_restarted(server: Server, tmp_path: Path) -> None:
    code, last = Session(server, tmp_path, None).ended()
    assert code == 127
    assert last == "there is no opencode in PATH: npm install -g opencode-ai"


REPORTED = '{"type": "turn.failed", "error": {"message": "unexpected status 401 Unauthorized: Missing bearer"}}'


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("claude-code", 'print("Not logged in · Please run /login"); raise SystemExit(1)'),
        ("codex", f"print({REPORTED!r}); raise SystemExit(1)"),
        ("gemini-cli", 'print("Please set an Auth method in your settings"); raise SystemExit(41)'),
    ],
)
def test_a_client_that_is_not_logged_in_is_told_to_log_in_and_not_restarted(
    server: Server, tmp_path: Path, name: ClientName, program: str
) -> None:
    code, last = Session(server, tmp_path, program, name, RLOOP_CLIENT_HOME=str(tmp_path)).ended()
    facts = session_outcome.Facts(proposed=False, finished=False, code=code, reason="Error", log_tail=last)
    judged = session_outcome.judge(facts)
    assert judged.end, "not restarted"
    assert "nobody is logged in" in judged.message
    assert f"log in: start {PROGRAMS[name].executable} once by hand" in last


def test_with_the_proxy_the_same_words_are_an_error_that_may_pass(server: Server, tmp_path: Path) -> None:
    code, last = Session(server, tmp_path, f"print({REPORTED!r}); raise SystemExit(1)", "codex").ended()
    assert code == 1
    assert "401 Unauthorized" in last


STEPS = """
import json, time
tokens = {"input": 90, "output": 10, "cache": {"read": 5}}
for _ in range(COUNT):
    print(json.dumps({"type": "step_finish", "part": {"tokens": tokens}}), flush=True)
    time.sleep(PAUSE)
"""


def steps(count: int, pause: float) -> str:
    return STEPS.replace("COUNT", str(count)).replace("PAUSE", str(pause))


def test_the_tokens_of_a_client_with_its_own_login_are_reported_as_totals(server: Server, tmp_path: Path) -> None:
    server.gateway.used = UsageReport(input_tokens=1000, cached_tokens=0, output_tokens=7)  # by an earlier process
    Session(server, tmp_path, steps(3, 0), RLOOP_CLIENT_HOME=str(tmp_path)).ended()
    assert server.gateway.used == UsageReport(input_tokens=1285, cached_tokens=15, output_tokens=37)


def test_a_client_is_ended_when_the_tokens_of_the_campaign_are_used_up(server: Server, tmp_path: Path) -> None:
    server.gateway.tokens_left = 0
    session = Session(server, tmp_path, steps(1000, 0.1), RLOOP_CLIENT_HOME=str(tmp_path))
    code, _ = session.ended()
    assert code == 0
    assert server.gateway.used is not None
    assert 0 < server.gateway.used.input_tokens < 95 * 1000


def test_with_the_proxy_no_tokens_are_reported(server: Server, tmp_path: Path) -> None:
    Session(server, tmp_path, steps(3, 0)).ended()
    assert "report_usage" not in server.gateway.verbs


def test_for_a_client_that_did_not_finish_the_wrapper_hands_over(server: Server, tmp_path: Path) -> None:
    waits = """
import json, pathlib, time
print("ready", flush=True)
pathlib.Path("ready").touch()
while not pathlib.Path("go").exists():
    time.sleep(0.05)
print(json.dumps({"type": "text", "part": {"text": "I stop."}}), flush=True)
"""
    session = Session(server, tmp_path, waits)
    while not (tmp_path / "session/ready").exists():
        time.sleep(0.05)
    # What the client's MCP server would do for it.
    server.gateway.post_direction(DirectionRequest(title="rates", fields={"method": "plain"}, frame=FRAME))
    (tmp_path / "session/go").touch()
    code, _ = session.ended()
    assert code == 0
    assert server.gateway.handoff is not None
    assert "I stop." in server.gateway.handoff


def test_a_client_that_goes_on_after_finish_is_ended(server: Server, tmp_path: Path) -> None:
    session = Session(server, tmp_path, "import time\nprint('still here', flush=True)\ntime.sleep(600)")
    while not server.gateway.beats:
        time.sleep(0.05)
    server.gateway.handoff = "by the client"
    code, _ = session.ended()
    assert code == 0
    assert server.gateway.handoff == "by the client"


def test_a_flood_of_output_neither_delays_the_end_nor_fills_the_disk(server: Server, tmp_path: Path) -> None:
    floods = "import sys\nwhile True:\n    sys.stdout.write('x' * 2_000_000 + ' still\\n' * 1000)"
    session = Session(server, tmp_path, floods)
    while not server.gateway.beats:
        time.sleep(0.05)
    time.sleep(2)
    session.process.send_signal(signal.SIGTERM)
    session.ended()
    assert sum(one.stat().st_size for one in (tmp_path / "transcripts").iterdir()) < 200_000_000


def test_an_interrupt_ends_the_client_and_all_that_it_started(server: Server, tmp_path: Path) -> None:
    stubborn = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open("child", "w").write(str(child.pid))
print("ready", flush=True)
time.sleep(600)
"""
    session = Session(server, tmp_path, stubborn)
    written = tmp_path / "session/child"
    while not (written.exists() and written.read_text()):
        time.sleep(0.05)
    session.process.send_signal(signal.SIGTERM)
    code, _ = session.ended()
    assert code == 0
    state = Path(f"/proc/{written.read_text()}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"

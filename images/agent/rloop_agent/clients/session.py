"""One session of a coding agent of another maker: from its folder to its handoff.

Called by `rloop_agent.__main__` where `agent.client` is set. The client talks to the gateway by our MCP server
(`clients.tools_server`) and to its model through the LLM proxy; this process lays out its folder, keeps its output as
the transcript, ends it in order, and hands over what it has not handed over itself.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rloop.api.agent import PROGRAMS, ClientName
from rloop.api.session_context import Context
from rloop.api.wire import TaskFiles, UsageReply, UsageReport
from rloop_agent import handoff
from rloop_agent.clients.launch import TOOLS_VARIABLES, Launch, Seen, Speaker
from rloop_agent.clients.table import CLIENTS
from rloop_agent.clients.workspace import PROMPT, lay_out
from rloop_agent.environment import ClientSettings
from rloop_agent.gateway import Closed, Gateway, Refused
from rloop_agent.heart import Heart
from rloop_agent.llm import roles
from rloop_agent.llm.model.redact import redacted
from rloop_agent.llm.model.transcript import Transcript
from rloop_agent.session import Surroundings

POLL_SECONDS = 0.25
"""The limits are looked at this often, however much or little a client writes."""
FAREWELL_SECONDS = 12.0
"""How long a client may go on after the session is over: the gateway's grace for its last model calls is 15 s."""
TERM_SECONDS = 1.0
"""Between SIGTERM and SIGKILL. The operator kills this process 1.5 s after an interrupt."""
RESERVE_SECONDS = 20.0
"""Of the session's time, for the end of the client and the handoff."""
WORDS_MAX = 600
SILENT = "the client said nothing"
"""Printed instead of the last words of a client that had none."""
LINE_MAX = 1_000_000
"""Characters of one line of output that are read as one."""
TRANSCRIPT_MAX = 64_000_000
"""Characters of output in the transcript; the rest is read and dropped."""
TOLD_MAX: dict[Speaker, int] = {"model": 2000, "tool": 300, "client": 600}
"""Characters of a text in the log. The transcript has the whole text."""
NOT_INSTALLED, NO_PERMISSION = 127, 77
"""Exit codes after which a restart cannot help: of a shell for a missing program, and EX_NOPERM of sysexits.h."""
NO_LOGIN = re.compile(r"/login\b|not logged in|401 unauthorized|invalid (api key|bearer|authentication)", re.IGNORECASE)
"""How clients say that nobody is logged in, or no longer."""


def run(
    gateway: Gateway,
    settings: ClientSettings,
    token: str,
    heart: Heart,
    around: Surroundings,
    transcript: Transcript,
) -> int:
    """Run the client once; returns the exit code of this process.

    Raises Unauthorized and Unreachable.
    """
    program = PROGRAMS[settings.name]
    found = shutil.which(program.executable)
    if found is None:
        print(f"there is no {program.executable} in PATH: npm install -g {program.package}", flush=True)
        return NOT_INSTALLED
    context = gateway.context()
    task = TaskFiles(files={}) if context.session.role in roles.CLOSING else gateway.task()
    folder = Path.cwd() / "session"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    lay_out(folder, context, task)
    tools = {name: os.environ[name] for name in TOOLS_VARIABLES if name in os.environ}
    tools["RLOOP_WORKSPACE"] = str(folder)
    launch = Launch(folder, token, settings.proxy, settings.model, settings.args, settings.home, tools)
    transcript.write("prompt", client=settings.name, text=(folder / PROMPT).read_text(encoding="utf-8"))
    # What an earlier process used. Asked before the client starts: if this fails, nobody would watch the client.
    used = gateway.report_usage(UsageReport()) if settings.home else None
    process = _start(found, settings.name, launch)
    around.log("info", "client started", client=settings.name, program=found, pid=process.pid)

    def tell(who: Speaker, text: str) -> None:
        text, most = redacted(text, [token]), TOLD_MAX[who]
        around.log("info", who, text=text if len(text) <= most else f"{text[:most]}…")

    seen = Seen(tell=tell)
    why = _watch(process, settings.name, seen, context, heart, around.stop, transcript, used)
    if used is not None:
        gateway.report_usage(_totals(used, seen))
    around.log(
        "info",
        "client ended",
        code=process.returncode,
        why=why,
        turns=seen.turns,
        input_tokens=seen.input_tokens,
        output_tokens=seen.output_tokens,
    )
    code = _hand_over(gateway, context, process.returncode, why, seen)
    words = " ".join(f"{seen.words} {seen.plain}".split())[-WORDS_MAX:]
    if code and settings.home and (process.returncode == CLIENTS[settings.name].no_login or NO_LOGIN.search(words)):
        told = f"log in: start {program.executable} once by hand, or use login: Proxy with llm"
        print(f"{program.executable} is not logged in ({words}); {told}", flush=True)
        return NO_PERMISSION
    return code


def _start(program: str, name: ClientName, launch: Launch) -> subprocess.Popen[str]:
    client = CLIENTS[name]
    for path, text in client.files(launch).items():
        target = launch.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(mode=0o600)
        target.write_text(text, encoding="utf-8")
    with (launch.folder / PROMPT).open("rb") as prompt:
        return subprocess.Popen(
            [program, *client.argv(launch)],
            cwd=launch.folder,
            env={**os.environ, **client.environment(launch)},
            stdin=prompt,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )


def _watch(
    process: subprocess.Popen[str],
    name: ClientName,
    seen: Seen,
    context: Context,
    heart: Heart,
    stop: Callable[[], bool],
    transcript: Transcript,
    used: UsageReply | None,
) -> str:
    """Read the client's output until it has ended; returns why it was ended, empty if it ended by itself."""
    lines: queue.Queue[str | None] = queue.Queue(1000)
    threading.Thread(target=_pump, args=(process, lines), name="output", daemon=True).start()
    ends_at = time.monotonic() + max(context.session.session_seconds - RESERVE_SECONDS, RESERVE_SECONDS)
    closing_at: float | None = None
    why, over = "", False
    while not why and not over:
        over = _take(lines, name, seen, transcript)
        with contextlib.suppress(Closed):
            heart.on_round(seen.turns)
        if used is not None:
            heart.used = _totals(used, seen)
        now = time.monotonic()
        if heart.closing and closing_at is None:
            closing_at = now + FAREWELL_SECONDS
        if stop():
            why = "the session was asked to end"
        elif closing_at is not None and now > closing_at:
            why = "it went on after the session was over"
        elif heart.spent:
            why = "the tokens of the campaign were used up"
        elif now > ends_at:
            why = "the session's time was used up"
    _end(process, FAREWELL_SECONDS if over else 0.0)
    while not over:
        over = _take(lines, name, seen, transcript)
    return why


def _totals(before: UsageReply, seen: Seen) -> UsageReport:
    """Tokens of the whole session, of which earlier processes used those `before`."""
    return UsageReport(
        input_tokens=before.input_tokens + seen.input_tokens,
        cached_tokens=before.cached_tokens + seen.cached_tokens,
        output_tokens=before.output_tokens + seen.output_tokens,
    )


def _pump(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    with contextlib.suppress(ValueError):
        while line := process.stdout.readline(LINE_MAX):
            lines.put(line)
    lines.put(None)


def _take(lines: queue.Queue[str | None], name: ClientName, seen: Seen, transcript: Transcript) -> bool:
    """Take in what the client has written meanwhile. True at the end of its output."""
    ends_at = time.monotonic() + POLL_SECONDS
    with contextlib.suppress(queue.Empty):
        while (left := ends_at - time.monotonic()) > 0:
            line = lines.get(timeout=left)
            if line is None:
                return True
            seen.line(line, CLIENTS[name].read)
            if seen.characters <= TRANSCRIPT_MAX:
                transcript.write("output", line=line.rstrip("\n"))
    return False


def _end(process: subprocess.Popen[str], patience: float) -> None:
    """End the client, and everything in its process group, unless it ends by itself within `patience` seconds."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(TERM_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _hand_over(gateway: Gateway, before: Context, code: int, why: str, seen: Seen) -> int:
    """Finish for a client that has done something but did not finish. Returns the exit code of this process."""
    words = (seen.words or seen.plain).strip()
    ended = why or ("it ended by itself" if code == 0 else f"it exited with {code}")
    text = f"The client did not call finish: {ended}. Its last words: {words[:WORDS_MAX] or 'none'}"
    try:
        if handoff.hand_over(gateway, before, text):
            return 0
    except Refused as refused:
        print(refused, flush=True)
    # The last line is what the campaign shows of a session that did nothing.
    print(" ".join(words.split())[-WORDS_MAX:] or SILENT, flush=True)
    return 0 if code == 0 or why else 1

"""Ctrl-C beside anything: the command ends within five seconds, nothing is lost, and the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.models.server import ModelServer

from rloop_operator.cli.sources.read_folder import look
from rloop_operator.local.workloads.documents import read_json

Example = Callable[..., Path]
SECONDS = 5.0
BUDGET = {"budget__runs": 20, "evaluation__baselineRuns": 3, "parallelism": 1}
QUICK = "echo 1 >$RLOOP_ARTIFACTS/loss"
DEAF = "trap '' TERM; for i in $(seq 600); do sleep 0.1; done"
"""Does not end when it is told to."""
BEATS_SELDOM = """#!/bin/sh
trap '' TERM
while :; do
  curl -s -m 2 -d '{"round": 1}' -H "Authorization: Bearer $RLOOP_TOKEN" "$RLOOP_GATEWAY/v1/heartbeat" >/dev/null
  for i in $(seq 300); do sleep 0.1; done
done
"""
RETRIES = """#!/bin/sh
trap '' TERM
while :; do
  curl -s -m 2 -d '{}' -H "Authorization: Bearer $RLOOP_TOKEN" "$RLOOP_GATEWAY/v1/directions" >/dev/null
  sleep 0.05
done
"""


class Running:
    """`rloop run`, in a process group of its own."""

    def __init__(self, file: Path, folder: Path, **env: str) -> None:
        self.folder = folder / "runs/demo"
        self._command = [sys.executable, "-m", "rloop_operator.cli", "run", str(file)]
        self._env = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **env}
        self.process = subprocess.Popen(
            self._command, cwd=folder, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def until(self, fact: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not fact():
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def workload(self, name: str) -> Path | None:
        """The folder of a workload of that name whose process runs."""
        found = [one.parent for one in (self.folder / "workloads").glob(f"*{name}*/output.log")]
        return found[0] if found else None

    def interrupt(self, times: int = 1) -> str:
        """Ctrl-C; what it has printed when it has ended."""
        began = time.monotonic()
        for again in range(times):
            time.sleep(0.3 * bool(again))
            began = time.monotonic()
            self.process.send_signal(signal.SIGINT)
        told, _ = self.process.communicate(timeout=60)
        assert time.monotonic() - began < seconds()
        assert self.process.returncode == 130, told
        assert "nothing recorded is lost" in told
        return told


def seconds() -> float:
    """Five, on a machine that has a core for each process that wants one."""
    return SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def pids(workload: Path) -> list[int]:
    """The processes of a workload, its shim the first."""
    spec = read_json(str(workload), "spec.json") or {}
    shim = read_json(str(workload), "shim.json") or {}
    cookie = f"RLOOP_WORKLOAD_COOKIE={spec['env']['RLOOP_WORKLOAD_COOKIE']}".encode()
    found = [shim["pid"]]
    for one in Path("/proc").glob("[0-9]*"):
        try:
            if cookie in (one / "environ").read_bytes().split(b"\0"):
                found.append(int(one.name))
        except OSError:
            continue
    return [pid for pid in found if Path(f"/proc/{pid}").exists()]


def end(running: Running) -> None:
    """Nothing of a test outlives it."""
    for workload in (running.folder / "workloads").glob("*"):
        if (workload / "spec.json").exists():
            for pid in pids(workload):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def make(file: Path, **env: str) -> Running:
        made.append(Running(file, tmp_path, **env))
        return made[-1]

    yield make
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()
        end(one)


def of_own(example: Example, agent: str) -> Path:
    file = example(QUICK, **BUDGET)
    document = yaml.safe_load(file.read_text())
    (file.parent / "agent.sh").write_text(agent)
    document["spec"]["agent"] = {"image": "example.invalid/agent:1", "command": ["sh", "./agent.sh"]}
    file.write_text(yaml.safe_dump(document))
    return file


@pytest.mark.parametrize("agent", [BEATS_SELDOM, RETRIES], ids=["it beats each 30 s", "it retries what is refused"])
@pytest.mark.parametrize("suspended", [None, "agent", "shim"])
def test_beside_an_agent_that_does_not_listen(
    example: Example, start: Callable[..., Running], agent: str, suspended: str | None
) -> None:
    running = start(of_own(example, agent))
    running.until(lambda: running.workload("s1-a1"))
    workload = running.workload("s1-a1")
    assert workload is not None
    running.until(lambda: len(pids(workload)) > 1)
    if suspended is not None:
        os.kill(pids(workload)[0 if suspended == "shim" else 1], signal.SIGSTOP)
    running.interrupt()
    deadline = time.monotonic() + 10
    while workload.exists() and pids(workload):
        assert time.monotonic() < deadline, "its shim ends it, also after the command"
        time.sleep(0.1)


def test_beside_a_provider_that_asks_for_patience(example: Example, start: Callable[..., Running]) -> None:
    with ModelServer() as provider:
        threading.Thread(target=provider.serve_forever, args=(0.05,), daemon=True).start()
        llm = {"llm": {"provider": "main", "model": "researcher+rate-limit"}}
        running = start(example(QUICK, agent=llm, **BUDGET), RLOOP_LLM_URL=provider.url)
        running.until(lambda: provider.calls["researcher+rate-limit"] > 1)
        running.interrupt()
        provider.shutdown()
    (iteration,) = look(running.folder).snapshot.iterations.values()
    assert iteration.status.sessions[0].attempt == 1


@pytest.mark.parametrize("suspended", [False, True])
def test_beside_a_run_that_does_not_listen_which_is_not_lost(
    example: Example, start: Callable[..., Running], tmp_path: Path, suspended: bool
) -> None:
    log = tmp_path / "began"
    slow = f"echo began >>'{log}'; trap '' TERM; for i in $(seq 60); do sleep 0.1; done; {QUICK}"
    file = example(slow, evaluation__baselineRuns=3, budget__runs=3)
    running = start(file)
    running.until(lambda: running.workload("b01-r1"))
    workload = running.workload("b01-r1")
    assert workload is not None
    running.until(log.exists)
    if suspended:
        os.kill(pids(workload)[0], signal.SIGSTOP)
    told = running.interrupt()
    assert "  still runs" in told
    assert "b01-r1-a1" in told
    assert len(pids(workload)) > 1, "it goes on"
    if suspended:
        os.kill(pids(workload)[0], signal.SIGCONT)
    again = start(file)
    told, _ = again.process.communicate(timeout=120)
    assert again.process.returncode == 3, told
    runs = look(again.folder).snapshot.experiments["demo-b01"].status.runs
    assert [len(one.attempts) for one in runs] == [1, 1, 1]
    assert log.read_text().count("began") == 3, "none was run again"


@pytest.mark.parametrize("suspended", [False, True])
def test_a_second_ctrl_c_ends_a_run_that_does_not_listen(
    example: Example, start: Callable[..., Running], suspended: bool
) -> None:
    running = start(example(DEAF, **BUDGET))
    running.until(lambda: running.workload("b01-r1"))
    workload = running.workload("b01-r1")
    assert workload is not None
    running.until(lambda: len(pids(workload)) > 1)
    if suspended:
        os.kill(pids(workload)[0], signal.SIGSTOP)
    told = running.interrupt(2)
    assert "  still runs" not in told
    assert "  stopped     b01-r1-a1; the same command repeats it" in told
    assert pids(workload) == []


def test_beside_a_scorer_that_does_not_listen(example: Example, start: Callable[..., Running]) -> None:
    file = example(QUICK, **BUDGET)
    (file.parent / "evaluation/score").write_text(f"#!/bin/sh\n{DEAF}\n")
    running = start(file)
    running.until(lambda: running.workload("-v1"))
    assert "  still runs" in running.interrupt()


def test_an_event_loop_that_hangs_does_not_hold_the_command() -> None:
    program = """
import asyncio, time
from rloop_operator.local.interrupt import Interrupt
async def main():
    with Interrupt().handling():
        print("ready", flush=True)
        while True:
            time.sleep(0.1)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert time.monotonic() - began < seconds()
    assert process.returncode == 130
    assert b"the same command continues" in told

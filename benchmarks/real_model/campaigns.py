"""The campaigns of a real model: two tasks, and for each of them three agents.

Called by `__main__`. The tasks are the README's own, read from the README, and example 01, unchanged. A campaign is
`rloop run` with its files as a user has them; what came of it is read from its run folder.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.real_model.model import ROOT, WINDOW
from rloop_operator.cli.sources.read_folder import look
from rloop_operator.cli.sources.snapshot import Snapshot

RLOOP = "from rloop_operator.cli.main import main; main()"
FILE = re.compile(r"`([\w./]+\.\w+)`(?: \([^`]*\))?:\s*(?:```\w+\n(.*?)```|`([^`]*)`)", re.DOTALL)
"""A file in the README: its path, and its content as a block or a line."""
TASKS = ("centre", "kuhn")
AGENTS = ("llm", "both", "policy")
MAX_EXPERIMENTS = 2
"""Of a session. A small model does one thing at a time."""
SESSION_SECONDS, POLL_SECONDS, END_SECONDS = 900, 1.0, 60


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a campaign that has not ended by itself."""

    runs: int
    sessions: int
    minutes: float


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one campaign."""

    task: str
    agent: str
    seed: int
    sessions: int
    """That ended."""
    playing: int
    """Those that submitted an experiment."""
    experiments: int
    runs: int
    keeps: int
    first_keep: int | None
    """Number of the session with the first kept experiment."""
    baseline: float | None
    best: float | None
    """Verified value of the incumbent in the end."""
    tokens: int
    seconds: float
    ended: str


def files(task: str, folder: Path) -> Path:
    """Write the task's files; returns its loop.yaml."""
    if task == "centre":
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        section = text.partition("## Your own task")[2].partition("\n## ")[0]
        for path, block, line in FILE.findall(section):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(block or line, encoding="utf-8")
        return folder / "loop.yaml"
    example = ROOT / "examples" / "01-kuhn-selfplay"
    document = yaml.safe_load((example / "loop.yaml").read_text(encoding="utf-8"))
    for source in (document["spec"]["task"], document["spec"]["evaluation"]["code"]):
        source["path"] = os.path.relpath(example / source["path"], folder)
    (folder / "loop.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return folder / "loop.yaml"


def agent(name: str, seed: int) -> dict[str, Any]:
    """`spec.agent`: the model, the policy, or the model with the policy as its optimiser."""
    llm, policy = {"provider": "main", "model": "local", "toolCalls": "Text"}, {"name": "tpe", "seed": seed}
    minds: dict[str, dict[str, Any]] = {
        "llm": {"llm": llm},
        "both": {"llm": llm, "policy": policy},
        "policy": {"policy": policy},
    }
    return {**minds[name], "maxExperiments": MAX_EXPERIMENTS, "sessionSeconds": SESSION_SECONDS}


def providers(url: str, folder: Path) -> Path:
    """The administrator's file for the model, as docs/llm-providers.md has it for a small local model."""
    local = {"name": "local", "contextTokens": WINDOW, "maxOutputTokens": 600}
    patience = {"totalSeconds": 900, "idleSeconds": 600}
    path = folder / "providers.yaml"
    path.write_text(yaml.safe_dump({"providers": [{"name": "main", "url": url, "models": [local], "retry": patience}]}))
    return path


def run(task: str, mind: str, seed: int, url: str, folder: Path, limits: Limits) -> Row:
    """One campaign, until it ends by itself or one of the limits stops it."""
    file = files(task, folder)
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["spec"]["agent"] = agent(mind, seed)
    document["spec"]["budget"] = {"runs": limits.runs}
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    began, output = time.monotonic(), folder / "output.txt"
    command = [sys.executable, "-c", RLOOP, "run", str(file), "--dir", str(folder / "run"), "--seed", str(seed)]
    environment = {**os.environ, "NO_COLOR": "1", "RLOOP_PROVIDERS": str(providers(url, folder)), "RLOOP_LLM_URL": ""}
    with output.open("w") as told, subprocess.Popen(command, env=environment, stdout=told, stderr=told) as campaign:
        while campaign.poll() is None:
            time.sleep(POLL_SECONDS)
            ended = len(_ended(look(folder / "run").snapshot)) if (folder / "run").exists() else 0
            if ended >= limits.sessions or time.monotonic() - began > 60 * limits.minutes:
                campaign.send_signal(signal.SIGINT)
                campaign.wait(END_SECONDS)
    if campaign.returncode not in (0, 3, 130):
        raise RuntimeError(f"rloop run ended with {campaign.returncode}: {output.read_text()[-2000:]}")
    return _row(look(folder / "run").snapshot, task, mind, seed, time.monotonic() - began)


def _ended(snapshot: Snapshot) -> list[str]:
    """Names of the ended sessions that may propose, in their order."""
    return [
        spec.name
        for _, iteration in sorted(snapshot.iterations.items())
        for spec in iteration.spec.sessions
        for status in iteration.status.sessions
        if (spec.name, spec.role) == (status.name, "Investigate") and status.phase not in ("Pending", "Running")
    ]


def _row(snapshot: Snapshot, task: str, mind: str, seed: int, seconds: float) -> Row:
    ended, status = _ended(snapshot), snapshot.loop.status
    proposed = [one for one in snapshot.experiments.values() if one.spec.kind == "Candidate"]
    kept = {one.spec.session for one in proposed if one.status.phase in ("Accepted", "Superseded")}
    complete = next((one.reason for one in status.conditions if one.type == "Complete" and one.status == "True"), None)
    return Row(
        task=task,
        agent=mind,
        seed=seed,
        sessions=len(ended),
        playing=len({one.spec.session for one in proposed} & set(ended)),
        experiments=len(proposed),
        runs=status.budget.used.runs,
        keeps=sum(one.status.phase in ("Accepted", "Superseded") for one in proposed),
        first_keep=next((number for number, name in enumerate(ended, start=1) if name in kept), None),
        baseline=None if status.baseline is None else status.baseline.value,
        best=None if status.best is None else status.best.value,
        tokens=status.budget.used.tokens,
        seconds=round(seconds, 1),
        ended=complete or "stopped",
    )

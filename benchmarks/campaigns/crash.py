"""One real campaign under fire, for `benchmarks.crash`: shoot at it, and count what is lost or doubled."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from rloop import ledger_entry
from rloop.api.experiment import ResearchExperiment
from rloop_operator.local.storage.store import LocalStore
from rloop_operator.local.workloads.documents import read_json

EXAMPLE = Path(__file__).parents[2] / "examples" / "01-kuhn-selfplay"
WAIT_SECONDS = 60.0
COMMAND = (
    'echo "start $RLOOP_EXPERIMENT $RLOOP_SEED $RLOOP_ATTEMPT" >> "$WITNESS"; python3 train.py; code=$?; '
    'echo "end $RLOOP_EXPERIMENT $RLOOP_SEED $RLOOP_ATTEMPT" >> "$WITNESS"; exit $code'
)


@dataclass(slots=True)
class Seen:
    """Rows that were once stored: they must be there for ever, unchanged."""

    names: set[str] = field(default_factory=set)
    values: dict[tuple[str, int], float] = field(default_factory=dict)
    ledger: dict[str, str] = field(default_factory=dict)


class Campaign:
    """One real campaign under fire."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder / "run"
        self.witness = folder / "witness"
        self.chance = chance
        self.seen = Seen()
        self.kills: list[tuple[str, float]] = []
        """Kind of the victim, seconds to the next start of a workload."""
        self._manifest = folder / "loop.yaml"
        document = yaml.safe_load((EXAMPLE / "loop.yaml").read_text())
        spec = document["spec"]
        spec["task"] = {"path": str(EXAMPLE / "task")}
        spec["evaluation"]["code"] = {"path": str(EXAMPLE / "evaluation")}
        spec["objective"]["target"] = "-1"
        spec["experiment"] |= {"command": ["sh", "-c", COMMAND], "backoffLimit": 10}
        spec["experiment"]["env"] = [{"name": "WITNESS", "value": str(self.witness)}]
        spec["watchdog"] = {"restartLimit": 100}
        spec["parallelism"] = 1  # else the other slot would start something, and hide how long this one took
        spec["budget"] = {}
        self._manifest.write_text(yaml.safe_dump(document))
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).with_name("rloop")), "run", str(self._manifest), "--dir", str(self.folder)]
        with (self.folder.parent / "output").open("ab") as output:
            return subprocess.Popen([*command, "--plain"], stdout=output, stderr=output)

    def shoot(self, kind: str) -> None:
        """Kill one process of this kind, and wait for the next start of a workload."""
        before = self._starts()
        ends_at = time.monotonic() + WAIT_SECONDS
        while not self._kill(kind):
            if time.monotonic() > ends_at:
                said = (self.folder.parent / "output").read_text()[-1000:]
                message = f"no {kind} came to life within {WAIT_SECONDS} s; rloop said: {said}"
                raise TimeoutError(message)
            time.sleep(0.002)
            before = self._starts()
        killed_at = time.monotonic()
        if kind == "rloop":
            self.process.wait()
            self.process = self._start()
        while self._starts() <= before:
            if time.monotonic() - killed_at > WAIT_SECONDS:
                break
            time.sleep(0.005)
        self.kills.append((kind, time.monotonic() - killed_at))
        self.look()

    def _starts(self) -> int:
        """Workloads that were ever started: rows that are never deleted."""
        try:
            with sqlite3.connect(f"file:{self.folder / 'loop.db'}?mode=ro", uri=True) as connection:
                return int(connection.execute("SELECT count(*) FROM workloads").fetchone()[0])
        except sqlite3.OperationalError:
            return 0

    def _kill(self, kind: str) -> bool:
        if kind == "rloop":
            if self._starts() == 0:
                return False
            self.process.kill()
            return True
        shims = self._shims(kind)
        self.chance.shuffle(shims)
        for shim in shims:
            try:
                victims = [shim] if kind == "shim" else shim.children(recursive=True)
                if victims:
                    os.kill(self.chance.choice(victims).pid, signal.SIGKILL)
                    return True
            except (psutil.Error, ProcessLookupError):
                continue
        return False

    def _shims(self, kind: str) -> list[psutil.Process]:
        found = []
        for folder in (self.folder / "workloads").glob("*/"):
            shim, spec = read_json(str(folder), "shim.json"), read_json(str(folder), "spec.json")
            if not shim or not spec or kind not in ("shim", _role(folder.name)):
                continue
            try:
                process = psutil.Process(shim["pid"])
                if any("rloop_operator.local.workloads.shim" in part for part in process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def look(self) -> None:
        """Remember every row that is stored now."""
        store = LocalStore.read_only(self.folder)
        try:
            for one in _experiments(store):
                self.seen.names.add(one.metadata.name)
                for run in one.status.runs:
                    if run.value is not None:
                        self.seen.values[one.metadata.name, run.number] = run.value
            self.seen.ledger |= _ledger(store)
        finally:
            store.close()

    def end(self) -> None:
        """Let what runs finish, and hold the rows against what was seen."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def lost(self) -> int:
        """Rows that were stored once and are gone or changed; a broken ledger counts each of its entries."""
        store = LocalStore.read_only(self.folder)
        try:
            experiments = {one.metadata.name: one for one in _experiments(store)}
            values = {(n, r.number): r.value for n, one in experiments.items() for r in one.status.runs}
            ledger = _ledger(store)
        finally:
            store.close()
        return (
            len(self.seen.names - set(experiments))
            + sum(values.get(key) != value for key, value in self.seen.values.items())
            + sum(ledger.get(key) != digest for key, digest in self.seen.ledger.items())
        )

    def doubled(self) -> int:
        """Attempts that ran twice, attempts of one run that overlapped, and runs that succeeded twice."""
        lines = [line.split() for line in self.witness.read_text().splitlines()]
        starts = Counter(tuple(parts[1:]) for parts in lines if parts[0] == "start")
        twice = sum(count - 1 for count in starts.values())
        overlaps = 0
        newest: dict[tuple[str, str], int] = {}
        for what, experiment, seed, attempt in lines:
            if what == "start":
                newest[experiment, seed] = int(attempt)
            elif newest[experiment, seed] != int(attempt):
                overlaps += 1
        store = LocalStore.read_only(self.folder)
        try:
            runs = [run for one in _experiments(store) for run in one.status.runs]
        finally:
            store.close()
        succeeded_twice = sum(max(0, sum(a.phase == "Succeeded" for a in run.attempts) - 1) for run in runs)
        return twice + overlaps + succeeded_twice

    def totals(self) -> Counter[str]:
        """How much was done."""
        store = LocalStore.read_only(self.folder)
        try:
            experiments = _experiments(store)
            done = sum(run.phase == "Done" for one in experiments for run in one.status.runs)
            entries = len(store.ledger("kuhn-selfplay").texts)
        finally:
            store.close()
        return Counter(experiments=len(experiments), runs_done=done, ledger_entries=entries, workloads=self._starts())


def _ledger(store: LocalStore) -> dict[str, str]:
    """The hash of each entry by key; of none if the chain is broken."""
    ledger = store.ledger("kuhn-selfplay")
    if ledger_entry.misfit("kuhn-selfplay", ledger) is not None:
        return {}
    return {entry.key: ledger_entry.digest(entry.text) for entry in ledger.entries}


def _role(name: str) -> str:
    last = name.rsplit("-", 2)
    if last[-1].startswith("v"):
        return "verification"
    return "run" if last[-2].startswith("r") else "agent"


def _experiments(store: LocalStore) -> list[ResearchExperiment]:
    return asyncio.run(store.list(ResearchExperiment, "kuhn-selfplay"))

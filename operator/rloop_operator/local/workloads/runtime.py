# ruff: noqa: PTH105 - pathlib would double the start of the shim
"""Workloads as process trees on this machine, each with its own shim.

Called by reconcile through `rloop_operator.ports.Runtime`, and by `local.campaign`, which waits for exits.
Its whole state is in the run folder, so a new process finds the workloads that an old one started. It is no
security boundary: workloads run as the user of the campaign and can read and change whatever that user can.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import structlog
from typing_extensions import override

from rloop import names
from rloop.actions import Workload
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.errors import Corrupt, NotFound
from rloop.observed import WorkloadState
from rloop_operator.local.storage import records
from rloop_operator.local.storage.file_errors import told
from rloop_operator.local.storage.layout import waits
from rloop_operator.local.storage.store import LocalStore
from rloop_operator.local.workloads import launch
from rloop_operator.local.workloads.documents import read_json, write_json
from rloop_operator.local.workloads.identity import LocalIdentity, token_hash
from rloop_operator.local.workloads.processes import free_port
from rloop_operator.local.workloads.watched import Watched
from rloop_operator.ports import Files, Runtime
from rloop_operator.task_files import overlay, write_files

MAX_SPAWNS = 3
"""Maximum starts of a shim that ends before it writes shim.json; after these the workload fails with StartFailed."""
QUICK_POLL_SECONDS = 0.005
SLOW_POLL_SECONDS = 0.03
YOUNG_SECONDS = 5.0
LIVENESS_SECONDS = 0.5

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class LocalRuntime(Runtime):
    """The runtime of one run folder."""

    def __init__(
        self,
        store: LocalStore,
        identity: LocalIdentity,
        gateway_url: str,
        *,
        llm_url: str = "",
        withheld: Collection[str] = (),
    ) -> None:
        self._store = store
        self._layout = store.folder
        self._identity = identity
        self.gateway_url = gateway_url
        self._llm_url = llm_url
        self._withheld = withheld
        """Variables of our own environment that hold a key. They are not passed to any process."""
        self._spawns: dict[str, int] = {}
        self._starting: set[str] = set()
        self._watched = {
            record.name: Watched(record, self._layout.workload(record.name))
            for record in records.present(store.database)
        }
        identity.bind(self.is_live)
        self._sweep()

    def is_live(self, name: str) -> bool:
        """Whether a workload runs or is about to start."""
        watched = self._watched.get(name)
        return watched is not None and watched.exit is None and not watched.exit_written

    @override
    async def start(self, loop: ResearchLoop, workload: Workload) -> None:
        name = workload.name
        if name in self._starting:
            return
        watched = self._watched.get(name)
        if watched is None:
            if records.find(self._store.database, name) is not None:
                return
            self._starting.add(name)
            try:
                watched = await self._prepare(loop, workload)
            finally:
                self._starting.discard(name)
        if watched.ran or watched.starting or not watched.folder.exists():
            return
        self._spawn(watched)

    async def _prepare(self, loop: ResearchLoop, workload: Workload) -> Watched:
        """Create the folder atomically, then record the workload: a record implies that the folder existed."""
        record = records.WorkloadRecord(
            workload.name, loop.metadata.name, workload.role, workload.owner, workload.session
        )
        folder = self._layout.workload(workload.name)
        token = self._identity.new_token() if workload.role == "agent" else None
        spec, files = await self._spec(loop, workload, token or "")
        # Replaces a folder left by an operator that died before it wrote the record. No shim has used that folder.
        await asyncio.to_thread(self._lay_out, folder, spec, files)
        records.add(self._store.database, record, token_hash(token) if token else None)
        watched = Watched(record, folder)
        self._watched[workload.name] = watched
        return watched

    async def _spec(
        self, loop: ResearchLoop, workload: Workload, token: str
    ) -> tuple[launch.Spec, Mapping[str, Files]]:
        """The shim's spec, and the files of the workload's folder by subfolder."""
        name = loop.metadata.name
        base = self._store.base or Path.cwd()
        if workload.role == "agent":
            joined, urls = await self._joined(workload), {"gateway_url": self.gateway_url, "llm_url": self._llm_url}
            return launch.agent_spec(self._layout, loop, workload, token=token, base=base, joined=joined, **urls), {}
        if workload.role == "run":
            task = await self._store.files(names.task(name))
            with suppress(NotFound):  # the baseline has no files of its own
                task = overlay(task, await self._store.files(workload.owner))
            return launch.run_spec(self._layout, loop, workload, free_port()), {"task": task}
        sealed = await self._store.seal(loop)
        known = await self._artifact_sha256(workload)
        spec = launch.verification_spec(self._layout, loop, workload, sealed, base, known)
        return spec, {"code": await self._store.files(names.evaluation(name))}

    async def _joined(self, workload: Workload) -> bool:
        """Whether a person's agent gets the session. Those that check findings or report start without any memory."""
        if not waits(self._layout.join):
            return False
        sessions = (await self._store.get(ResearchIteration, workload.owner)).spec.sessions
        return any(one.name == workload.session and one.role not in ("Check", "Report") for one in sessions)

    async def _artifact_sha256(self, workload: Workload) -> str | None:
        """The digest of the run's artifacts in its status, which the verifier's copy must match; None if unset."""
        with suppress(NotFound):
            experiment = await self._store.get(ResearchExperiment, workload.owner)
            for run in experiment.status.runs:
                if run.number == workload.run:
                    return run.artifact_sha256
        return None

    @staticmethod
    def _lay_out(folder: Path, spec: launch.Spec, files: Mapping[str, Files]) -> None:
        draft = folder.with_name(f".{folder.name}.new")
        with told(folder):
            if (folder / "shim.json").exists():
                raise Corrupt(f'"{folder}" belongs to another database; move the run folder away, or restore loop.db')
            for leftover in (draft, folder):
                if leftover.exists():
                    shutil.rmtree(leftover)
            draft.mkdir(mode=0o700)
            for sub_folder, content in files.items():
                write_files(draft / sub_folder, content)
            write_json(str(draft), "spec.json", spec)
            draft.rename(folder)

    def _spawn(self, watched: Watched) -> None:
        name = watched.record.name
        count = self._spawns[name] = self._spawns.get(name, 0) + 1
        if count > MAX_SPAWNS:
            self._fail_start(watched)
            return
        with told(watched.folder), (watched.folder / "shim.log").open("ab") as output:
            watched.spawned = subprocess.Popen(
                # -P: never import from the workload's folder.
                [sys.executable, "-P", "-m", "rloop_operator.local.workloads.shim", str(watched.folder)],
                cwd=watched.folder,
                env={name: value for name, value in os.environ.items() if name not in self._withheld},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        log.info("workload.started", workload=name, role=watched.record.role, pid=watched.spawned.pid)

    def _fail_start(self, watched: Watched) -> None:
        said = b""
        with suppress(OSError):
            said = (watched.folder / "shim.log").read_bytes()[-2048:]
        tail = f"[rloop] its supervisor ended {MAX_SPAWNS} times before it began\n{said.decode(errors='replace')}"
        document = {"code": None, "reason": "StartFailed", "infrastructure": True, "finished_at": time.time()}
        with told(watched.folder):
            write_json(str(watched.folder), "exit.json", document | {"log_tail": tail})
        log.error("workload.start_failed", workload=watched.record.name)

    @override
    async def stop(self, name: str, reason: str) -> None:
        watched = self._watched.get(name)
        if watched is None or watched.exit is not None or not watched.folder.exists():
            return
        # The first reason is kept. The shim polls for the file; the signal only makes it react at once.
        if not (watched.folder / "stop.json").exists():
            with told(watched.folder):
                write_json(str(watched.folder), "stop.json", {"reason": reason})
            log.info("workload.stopping", workload=name, reason=reason)
        watched.signal_shim()

    @override
    async def remove(self, name: str) -> None:
        watched = self._watched.get(name)
        if watched is None:
            return
        state = watched.state()
        if state is not None and state.exit is None:
            log.warning("workload.not_removed", workload=name, why="it has not ended")
            return
        # The record first: if we die here, the folder is only garbage and the workload cannot start again.
        records.mark_removed(self._store.database, name)
        del self._watched[name]
        watched.let_go()
        self._spawns.pop(name, None)
        with suppress(OSError):
            os.replace(watched.folder / "output.log", self._layout.workload_log(name))
        if watched.exit is not None and watched.exit.code == 0:
            # Checkpoints serve the next attempt of a run, and a successful run has none.
            spec = read_json(str(watched.folder), "spec.json") or {}
            if checkpoints := spec.get("env", {}).get("RLOOP_CHECKPOINTS"):
                await asyncio.to_thread(_delete, Path(checkpoints))
        await asyncio.to_thread(_delete, watched.folder)

    @override
    async def observe(self, loop: str) -> Mapping[str, WorkloadState]:
        found: dict[str, WorkloadState] = {}
        for name, watched in self._watched.items():
            if watched.record.loop == loop:
                state = watched.state()
                if state is not None:
                    found[name] = state
        return found

    async def wait(self) -> None:
        """Return as soon as a live workload has an exit that `observe` has not returned yet."""
        next_liveness = time.monotonic() + LIVENESS_SECONDS
        while True:
            now = time.monotonic()
            live = [watched for watched in self._watched.values() if watched.exit is None]
            if any(watched.exit_written for watched in live):
                return
            if now >= next_liveness:
                next_liveness = now + LIVENESS_SECONDS
                if any(not watched.shim_alive for watched in live):
                    return
            young = any(now - watched.since < YOUNG_SECONDS for watched in live)
            await asyncio.sleep(QUICK_POLL_SECONDS if young else SLOW_POLL_SECONDS)

    def live(self) -> list[str]:
        """Names of all workloads of all loops that run or are about to start."""
        return [name for name, watched in self._watched.items() if watched.live and not watched.exit_written]

    def kill(self) -> None:
        """Kill all live workloads and their shims. The next runtime reports them as Lost (infrastructure failure)."""
        for watched in self._watched.values():
            if watched.live:
                watched.kill()

    def close(self) -> None:
        """Detach from the workloads. Their shims keep running, and the next runtime adopts them."""
        for watched in self._watched.values():
            watched.let_go()
        self._sweep_tmpdirs()

    def _sweep(self) -> None:
        """Delete half-written folders and folders of removed workloads that a dead operator left."""
        for folder in self._layout.workloads.iterdir():
            record = records.find(self._store.database, folder.name)
            if folder.name.startswith(".") or (record is not None and record.removed):
                _delete(folder)
        self._sweep_tmpdirs()

    def _sweep_tmpdirs(self) -> None:
        """Delete short TMPDIRs whose workload folder is missing, because the process that should delete them was killed
        or the run folder was deleted.
        """
        workloads = self._layout.workloads.iterdir() if self._layout.workloads.is_dir() else ()
        wanted = {launch.short_tmpdir(folder) for folder in workloads}
        for folder in launch.short_tmpdirs(self._layout.workloads):
            if folder not in wanted:
                shutil.rmtree(folder, ignore_errors=True)


def _delete(folder: Path) -> None:
    shutil.rmtree(launch.short_tmpdir(folder), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)

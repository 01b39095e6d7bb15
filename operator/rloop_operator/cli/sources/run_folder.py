"""A campaign in a run folder, with or without a running `rloop run`.

Created by `choice`. It reads `loop.db` and writes only requests to it, which the folder's owner takes.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import closing, suppress
from datetime import UTC, datetime

from typing_extensions import override

from rloop import campaign_state
from rloop.errors import NotFound
from rloop.ledger_entry import Ledger
from rloop_operator.cli.sources.read_folder import Found, look
from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.cli.sources.source import Operator, Source
from rloop_operator.cli.terminal import words
from rloop_operator.local.storage import frozen_files, ledger
from rloop_operator.local.storage.database import Database
from rloop_operator.local.storage.layout import RunFolder, holder
from rloop_operator.ports import Files, Verb

TAKEN_SECONDS = 20.0
"""Timeout in seconds for a running `rloop run` to take a request."""
POLL_SECONDS = 0.1
LOG_BYTES = 4096
"""Bytes read from the end of a log."""


class LocalSource(Source):
    """The source for a campaign in a run folder."""

    def __init__(self, layout: RunFolder) -> None:
        self.folder = layout
        self._found: Found | None = None

    @override
    def look(self) -> Snapshot:
        self._found = look(self.folder.root)
        return self._found.snapshot

    @override
    def ledger(self) -> Ledger:
        with closing(Database(self.folder.database, read_only=True)) as database:
            loop = database.row("SELECT name FROM objects WHERE kind = 'ResearchLoop'")
            return Ledger() if loop is None else ledger.stored(database, loop[0])

    @override
    def operator(self, snapshot: Snapshot) -> Operator:
        where = words.path(self.folder.root)
        pid = self._found.operator if self._found is not None else holder(self.folder.root)
        if pid is not None:
            return Operator(alive=True, told=f"alive, process {pid}, in {where}")
        if campaign_state.finished(snapshot.loop):
            return Operator(alive=False, told=f"none, the campaign has ended; its folder is {where}")
        resumes = "rloop run with the same manifest continues it"
        if snapshot.suspended:
            resumes = f"{words.suspended(snapshot.by_request)}; then {resumes}"
        return Operator(alive=False, told=f"none since {snapshot.now:%Y-%m-%d %H:%M:%S} UTC: {resumes} in {where}")

    @override
    def files(self, name: str) -> Files:
        with closing(Database(self.folder.database, read_only=True)) as database:
            try:
                return frozen_files.read(database, name)
            except NotFound:
                return {}

    @override
    def artifacts_of(self, experiment: str, run: int, snapshot: Snapshot) -> str:
        return words.path(self.folder.artifacts(experiment, run))

    @override
    def log_of(self, workload: str) -> str:
        return words.path(self.folder.workload_log(workload))

    @override
    def end_of_log(self, workload: str) -> str:
        for path in (self.folder.workload(workload) / "output.log", self.folder.workload_log(workload)):
            with suppress(OSError), path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - LOG_BYTES))
                cut, content = file.tell() > 0, file.read().decode(errors="replace")
                return content.partition("\n")[2] if cut else content
        return ""

    @override
    def logs(self, name: str | None, *, follow: bool, everything: bool) -> None:
        from rloop_operator.cli.sources.local_logs import show_logs

        show_logs(name, self.folder, follow=follow, everything=everything)

    @override
    def ask(self, verb: Verb) -> str:
        from rloop_operator.local.storage import user_requests

        by_manifest = verb == "resume" and not user_requests.suspended_by_request(self.look().loop)
        user_requests.ask(self.folder, verb, datetime.now(UTC))
        ends_at = time.monotonic() + TAKEN_SECONDS
        here = asyncio.run(user_requests.take_unowned(self.folder))
        while not here and user_requests.waiting(self.folder):
            pid = holder(self.folder.root)
            if time.monotonic() > ends_at:
                return f"The request is stored, but rloop run (process {pid}) has not applied it yet."
            time.sleep(POLL_SECONDS)
            here = asyncio.run(user_requests.take_unowned(self.folder))
        return self._next(verb, here=here) + (MANIFEST if by_manifest else "")

    def _next(self, verb: Verb, *, here: bool) -> str:
        if not here:
            told = (
                "ends with exit code 3 when the work in progress has ended" if verb == "suspend" else "has applied it"
            )
            return f"rloop run (process {holder(self.folder.root)}) {told}."
        told = "No rloop run is active: this takes effect at the next rloop run"
        return f"{told}, which then starts nothing and ends with exit code 3." if verb == "suspend" else f"{told}."


MANIFEST = " The manifest has suspend: true: remove that, or the next rloop run suspends the campaign again."

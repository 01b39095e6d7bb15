"""The ports: protocols for everything that differs between the cluster, the local and the simulated shell.

`rloop_operator.reconcile` and the gateway are written against these protocols; one contract suite
(tests/contract) runs against every implementation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from rloop.actions import Append, Role, Workload
from rloop.api.experiment import ResearchExperiment
from rloop.api.helpers import ProgressRequest
from rloop.api.iteration import ResearchIteration
from rloop.api.loop_status import SealedTask
from rloop.api.researchloop import ResearchLoop
from rloop.observed import Beat, WorkloadState

AnyObject = ResearchLoop | ResearchIteration | ResearchExperiment
Object = TypeVar("Object", ResearchLoop, ResearchIteration, ResearchExperiment)


@dataclass(frozen=True, slots=True)
class File:
    """One regular file."""

    content: bytes
    executable: bool = False


Verb = Literal["suspend", "resume", "pivot"]
"""Requests that a user can make of a running campaign."""
Files = Mapping[str, File]
"""Relative path with `/` -> file."""


class Store(Protocol):
    """Typed objects, frozen files and the ledger: the only source of truth."""

    async def get(self, kind: type[Object], name: str) -> Object:
        """The object. Raises NotFound."""

    async def list(self, kind: type[Object], loop: str) -> list[Object]:
        """All objects of the kind that belong to the loop, sorted by name. Never writes."""

    async def create(self, obj: Object) -> Object:
        """Store a new object, with uid and resourceVersion. Raises Conflict if the name is taken."""

    async def apply_status(self, obj: Object) -> Object:
        """Replace the stored status by `obj.status` if the resourceVersions are equal. Raises Conflict, NotFound."""

    async def seal(self, loop: ResearchLoop) -> SealedTask:
        """Freeze the files of task, evaluation and references, once: later calls return the first result.

        Raises BadInput with every problem of the folders and of space.yaml; nothing is frozen then, so that a mended
        task can be sealed by a later call. Afterwards `files` returns the sets `LOOP-task`,
        `LOOP-evaluation` and, if the loop has references, `LOOP-references`.
        """

    async def put_files(self, loop: str, name: str, files: Files) -> None:
        """Freeze files under a name. Idempotent; raises Conflict if the name already holds other files."""

    async def files(self, name: str) -> Files:
        """The frozen files. Raises NotFound if they are missing or if an experiment's files were replaced; Blocked if
        sealed files were replaced, or were deleted while their source has changed.
        """

    async def append(self, loop: str, entry: Append) -> str:
        """Append to the hash-chained ledger. An entry whose key exists already is not changed.

        Returns one sentence that names missing earlier entries, only once for each gap; empty if no entry is missing.
        """


class Runtime(Protocol):
    """Workloads: processes, pods or simulated ones."""

    async def start(self, loop: ResearchLoop, workload: Workload) -> None:
        """Start it without waiting. Idempotent: a name that exists or has existed is never started again.

        Raises Blocked while an obstacle prevents the start, Unstartable if the experiment's files are lost.
        """

    async def stop(self, name: str, reason: str) -> None:
        """Request its end; its exit then has this reason. Idempotent; unknown names are ignored."""

    async def remove(self, name: str) -> None:
        """Forget a finished workload: `observe` no longer lists it. Keeps artifacts and logs. Idempotent."""

    async def observe(self, loop: str) -> Mapping[str, WorkloadState]:
        """All workloads that were started and not removed. A vanished one has an Exit with reason Lost."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The process or pod that calls the gateway."""

    workload: str
    role: Role
    loop: str
    owner: str
    session: str
    namespace: str = "default"


class Signs(Protocol):
    """Signs of life of the sessions: the gateway records them, the operator reads their ages."""

    async def record(self, caller: Caller, round_: int) -> str | None:
        """Record a heartbeat and the round of a session. Returns a pending nudge for it once, otherwise None."""

    async def called(self, caller: Caller) -> None:
        """Record that a session called a verb other than heartbeat: it is alive, and its round is unchanged."""

    async def progress(self, caller: Caller, request: ProgressRequest) -> None:
        """Record the step and the claims of a run, as reported by its relay."""

    async def expect(self, loop: str, sessions: Mapping[str, int]) -> None:
        """Expect heartbeats of these sessions of the loop and forget its other sessions. The number is the LLM proxy's
        counter of the session's calls: a change of it is a sign of life.
        """

    async def read(self) -> Mapping[str, Beat]:
        """Signs of life by session, with ages in seconds by the operator's own monotonic clock."""

    async def nudge(self, session: str, message: str) -> None:
        """Send the message to the session in the response to its next heartbeat."""


class Identity(Protocol):
    """Maps a token to its workload."""

    async def caller(self, token: str, peer: str = "") -> Caller | None:
        """The live workload that the token was issued to; None for any other token.

        `peer` is the address of the client. Raises Refused(Busy) if this address has sent too many unknown tokens.
        """

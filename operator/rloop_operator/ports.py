"""The three ports: all that differs between the cluster, the local and the simulated shell.

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
"""What a director asks of a campaign that runs."""
Files = Mapping[str, File]
"""Relative path with `/` -> file."""


class Store(Protocol):
    """Typed objects, frozen files and the ledger: the only truth."""

    async def get(self, kind: type[Object], name: str) -> Object:
        """The object. Raises NotFound."""

    async def list(self, kind: type[Object], loop: str) -> list[Object]:
        """All objects of the kind that belong to the loop, by name. Never writes."""

    async def create(self, obj: Object) -> Object:
        """Store a new object, with uid and resourceVersion. Raises Conflict if the name is taken."""

    async def apply_status(self, obj: Object) -> Object:
        """Replace the stored status by `obj.status` if the resourceVersions are equal. Raises Conflict, NotFound."""

    async def seal(self, loop: ResearchLoop) -> SealedTask:
        """Freeze the files of task, evaluation and references, once: later calls return the first result.

        Raises BadInput with every problem of the folders. After it `files` answers to `LOOP-task`, `LOOP-evaluation`
        and, where the loop has some, `LOOP-references`.
        """

    async def put_files(self, loop: str, name: str, files: Files) -> None:
        """Freeze files under a name. Idempotent; raises Conflict if other files stand there."""

    async def files(self, name: str) -> Files:
        """The frozen files. Raises NotFound, also if an experiment's were replaced; Blocked if sealed ones were, or if
        they were deleted and their source has changed.
        """

    async def append(self, loop: str, entry: Append) -> str:
        """Append to the hash-chained ledger; an entry whose key stands there is left as it is.

        Returns which earlier entries are missing, in a sentence, once; empty if none are.
        """


class Runtime(Protocol):
    """Workloads: processes, pods, or a simulation of them."""

    async def start(self, loop: ResearchLoop, workload: Workload) -> None:
        """Start it. Does not wait. Idempotent: what exists or has existed under this name is never started again.

        Raises Blocked while something is in the way, Unstartable if the experiment's files are lost.
        """

    async def stop(self, name: str, reason: str) -> None:
        """Ask it to end; its exit then carries the reason. Idempotent; unknown names are no error."""

    async def remove(self, name: str) -> None:
        """Forget a finished workload: observe lists it no more. Keeps artifacts and logs. Idempotent."""

    async def observe(self, loop: str) -> Mapping[str, WorkloadState]:
        """All workloads that were started and not removed; a vanished one has an Exit with reason Lost."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls the gateway: the very process or pod."""

    workload: str
    role: Role
    loop: str
    owner: str
    session: str
    namespace: str = "default"


class Signs(Protocol):
    """Signs of life of the sessions: the gateway records them, the operator reads how old they are."""

    async def record(self, caller: Caller, round_: int) -> str | None:
        """A session is alive and in this round; the nudge that waits for it, told once."""

    async def called(self, caller: Caller) -> None:
        """A session has called a verb other than heartbeat: it is alive, and its round is as before."""

    async def progress(self, caller: Caller, request: ProgressRequest) -> None:
        """What a run's relay saw of its step and claims."""

    async def expect(self, loop: str, sessions: Mapping[str, int]) -> None:
        """Begin to wait for these sessions of the loop, and forget all its others. A number that differs from the last
        one is a sign of life: the LLM proxy counts the session's calls.
        """

    async def read(self) -> Mapping[str, Beat]:
        """Ages in seconds by our own monotonic clock, by session."""

    async def nudge(self, session: str, message: str) -> None:
        """Tell the session at its next beat."""


class Identity(Protocol):
    """Who holds a token."""

    async def caller(self, token: str, peer: str = "") -> Caller | None:
        """The live workload that the token was given to; None for any other token.

        `peer` is the address that shows it. Raises Refused(Busy) if that has shown too many unknown tokens.
        """

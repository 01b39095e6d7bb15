"""Every name, label and annotation, defined in one place.

Called by the decisions, the gateway and the shells. Names are deterministic and each counter has one writer, so that a
retried create finds the object of its first try instead of creating a second one.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from hashlib import sha256

LABEL_LOOP = "rloop.dev/loop"
LABEL_ROLE = "rloop.dev/role"
LABEL_SESSION = "rloop.dev/session"
LABEL_OWNER = "rloop.dev/owner"
LABEL_WORKLOAD = "rloop.dev/workload"
"""On the pods of a Job or a PyTorchJob: its name."""
LABEL_QUEUE = "kueue.x-k8s.io/queue-name"
"""On a Job or a PyTorchJob: the Kueue queue that holds it back by suspending it."""
LABEL_WORKSPACE = "rloop.dev/workspace"
"""On pods that mount the workspace."""
ANNOTATION_STOP = "rloop.dev/stop-reason"
ANNOTATION_LAST_WORDS = "rloop.dev/last-words"
"""With ANNOTATION_STOP: the log tail, because the pods are deleted when their Job or PyTorchJob is stopped."""
ANNOTATION_BEAT = "rloop.dev/beat"
"""On an agent's pod: `<count>/<round>`. Its age is measured by the process that observes the change."""
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Environment variables that limit the threads of numeric libraries."""
ANNOTATION_NUDGE = "rloop.dev/nudge"
ANNOTATION_PROGRESS = "rloop.dev/progress"
"""On a run's pod: step and claims as JSON."""
ANNOTATION_DIGEST = "rloop.dev/files-sha256"
ANNOTATION_HEAD = "rloop.dev/ledger-head"
"""SHA-256 of a ledger chunk's newest entry."""
ANNOTATION_GAP = "rloop.dev/ledger-gap"
"""On a ledger's newest chunk: the missing chunks that were already reported."""
ANNOTATION_PING = "rloop.dev/ping-sent"
"""On the ping's Lease: a number that the guard increments."""
ANNOTATION_PING_ANSWER = "rloop.dev/ping-answered"
"""On the same Lease: the number of the last ping that the operator answered."""
ANNOTATION_RESTARTS = "rloop.dev/restarts-"
"""Prefix before a process' name, on the restarting component's Lease: number of restarts since it was last healthy."""
ANNOTATION_REPAIRS = "rloop.dev/repairs"
"""On the same Lease: the latest restarts, as JSON."""
ANNOTATION_NAMESPACES = "rloop.dev/namespaces"
"""On the operator's Lease: the namespaces that it serves, and those that it cannot serve, as JSON."""
ANNOTATION_PIVOT = "rloop.dev/pivot-requested-at"
"""On a loop, set by its director: each new value demands one pivot."""
ANNOTATION_SUSPENDED = "rloop.dev/suspended-at"
"""On a loop of a run folder that `rloop suspend` has suspended, whatever its manifest says."""


def baseline(loop: str) -> str:
    """`kuhn-b01`: the unchanged task as an experiment."""
    return f"{loop}-b01"


def iteration(loop: str, number: int) -> str:
    """`kuhn-i0007`."""
    return f"{loop}-i{number:04d}"


def session(iteration_name: str, index: int) -> str:
    """`kuhn-i0007-s1`: the index counts the iteration's sessions from 1."""
    return f"{iteration_name}-s{index}"


def experiment(session_name: str, sequence: int) -> str:
    """`kuhn-i0007-e2` for the first explorer, `kuhn-i0007-s2-e2` for another; 2 is the agent's own sequence number."""
    prefix = session_name.removesuffix("-s1")
    return f"{prefix}-e{sequence}"


def direction(session_name: str, number: int) -> str:
    """`kuhn-i0007-d1`."""
    return f"{session_name.removesuffix('-s1')}-d{number}"


def finding(session_name: str, number: int) -> str:
    """`kuhn-i0007-f1`."""
    return f"{session_name.removesuffix('-s1')}-f{number}"


def drafts(session_name: str) -> str:
    """`kuhn-i0007-s1-drafts`: files that a session leaves to the next one."""
    return f"{session_name}-drafts"


def task(loop: str) -> str:
    """The sealed task's files."""
    return f"{loop}-task"


def evaluation(loop: str) -> str:
    """The sealed evaluation's files."""
    return f"{loop}-evaluation"


def references(loop: str) -> str:
    """`kuhn-references`: the sealed papers."""
    return f"{loop}-references"


def workspace(loop: str) -> str:
    """`kuhn-workspace`: the claim of the volume that holds what runs make."""
    return f"{loop}-workspace"


def ledger(loop: str, number: int) -> str:
    """`kuhn-ledger-0000`: a part of the ledger in a cluster."""
    return f"{loop}-ledger-{number:04d}"


def agent(session_name: str, attempt: int) -> str:
    """`kuhn-i0007-s1-a1`: one process of a session."""
    return f"{session_name}-a{attempt}"


def attempt(experiment_name: str, run: int, number: int) -> str:
    """`kuhn-i0007-e2-r3-a1`: one attempt of a run."""
    return f"{experiment_name}-r{run}-a{number}"


def verification(experiment_name: str, run: int, number: int) -> str:
    """`kuhn-i0007-e2-r3-v1`: one scoring of a run's artifact."""
    return f"{experiment_name}-r{run}-v{number}"


def uid_of_seed(seed: int, loop: str) -> str:
    """The uid of a campaign whose user fixed the seeds of its runs."""
    return sha256(f"rloop/{seed}/{loop}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class SeedKeys:
    """A shell's secrets, from which seeds are derived. No agent, run, task or scorer may ever see them."""

    runs: bytes = field(repr=False)
    """Key for the seeds of runs; equal to `scorings` unless a user fixed the seeds of the runs."""
    scorings: bytes = field(repr=False)
    """Key for the seeds of scorings. Anyone who can compute such a seed can prepare an artifact for it."""


def seed(key: bytes, uid: str, *parts: str | int) -> int:
    """A 31-bit seed: HMAC-SHA256 with a secret key over the loop's uid and the purpose of the seed."""
    text = "/".join([uid, *map(str, parts)])
    return int.from_bytes(hmac.digest(key, text.encode(), "sha256")[:4]) & 0x7FFFFFFF


def place(uid: str, experiment_name: str, run: int, run_seed: int) -> str:
    """Name of a run's folder on a workspace: a digest, because the run sees it among its mounts.

    It depends on stored facts only, including the run's seed, so it does not change if the key is lost.
    """
    return sha256(f"place/{uid}/{experiment_name}/{run}/{run_seed}".encode()).hexdigest()[:32]


def labels(loop: str, role: str) -> dict[str, str]:
    """Labels of every child of a loop in a cluster.

    `app.kubernetes.io/instance` is omitted: Argo CD considers an object with that label part of the application of that
    name, and prunes it because it is not in Git.
    """
    return {
        "app.kubernetes.io/name": "researchloop",
        "app.kubernetes.io/component": role,
        "app.kubernetes.io/managed-by": "researchloop-operator",
        LABEL_LOOP: loop,
        LABEL_ROLE: role,
    }

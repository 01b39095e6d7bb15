"""What travels between agents, verifiers and the gateway: HTTP bodies and the verdict.

Used by the gateway, by the agents and by the verifier's image; together with the kinds it is all that images know.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rloop.api.common import Count, DnsLabel, Line, MetricName, Model, Path, Seed, Sha256, Text, Word
from rloop.api.experiment import Check
from rloop.api.iteration import Direction, Finding, Handoff, StructuralField
from rloop.api.researchloop import Objective
from rloop.api.space import Space

VERDICT_BYTES = 4096
"""A verdict is a termination message, which Kubernetes cuts at this size."""
FILE_BYTES = 512 * 1024
"""All changed files of one experiment together."""
MAX_CLAIMS = 32

Count64 = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""Bytes, and steps that may be tokens."""

FileText = Annotated[str, Field(max_length=FILE_BYTES)]


class Verdict(Model):
    """What a verifier writes to $RLOOP_VERDICT."""

    metrics: Annotated[dict[MetricName, float], Field(max_length=32)] = {}
    """Empty where a check failed and there is nothing to measure."""
    checks: Annotated[list[Check], Field(max_length=32)] = []


class VerifierReport(Model):
    """What the verifier's process leaves as its termination message: a verdict, or the reason why there is none."""

    verdict: Verdict | None = None
    reason: Word | None = None
    message: Line = ""
    infrastructure: bool = False


class VerifierJob(Model):
    """What the verifier's process is told; a JSON document in the environment variable RLOOP_VERIFIER_JOB."""

    command: list[str]
    code: Path
    """Folder with the evaluation's sealed code."""
    code_sha256: Sha256
    artifacts: Path
    held_out: Path | None = None
    held_out_sha256: Sha256 | None = None
    incumbent_artifacts: Path | None = None
    seed: Seed
    timeout_seconds: Count
    report: Path
    """File that gets the VerifierReport."""


class UnpackArchive(Model):
    """A tar.gz of regular files, and what they have to be."""

    path: Path
    sha256: Sha256 | None = None
    """Manifest digest of the archive's own files (`rloop.api.digest`); null: not checked."""


class UnpackCopy(Model):
    """A tree of which a copy is made: regular files only."""

    from_: Annotated[Path, Field(alias="from")]
    to: Path
    max_bytes: Count64
    sha256: Sha256 | None = None
    """Manifest digest that the copy must have; null: not checked."""


class UnpackJob(Model):
    """What an init container lays out; a JSON document in the environment variable RLOOP_UNPACK."""

    archives: Annotated[list[UnpackArchive], Field(max_length=8)] = []
    """Unpacked into the target one over the other: a later file takes the place of an earlier one."""
    target: Path
    copy_: Annotated[UnpackCopy | None, Field(alias="copy")] = None
    empty: Annotated[list[Path], Field(max_length=16)] = []
    """Folders whose content is removed first: what an earlier attempt left there."""
    make: Annotated[list[Path], Field(max_length=16)] = []
    """Folders to create."""


class UnpackReport(Model):
    """The termination message of an init container that has done its job."""

    copied: Sha256 | None = None
    """Manifest digest of the copy; null: nothing was to be copied."""


class ProgressRequest(Model):
    """How far a run has come, relayed by the sidecar of its pod."""

    run: Annotated[int, Field(ge=1, le=1000)]
    attempt: Annotated[int, Field(ge=1, le=1000)]
    step: Count64 | None = None
    """The newest step in progress.jsonl."""
    claims: Annotated[dict[MetricName, float], Field(max_length=MAX_CLAIMS)] = {}
    """What the run believes of itself (claims.json). Shown beside the verified value, and never scored."""


class ExperimentView(Model):
    """An experiment as an agent may see it: verified values are rounded to half a noise unit (the Ladder rule)."""

    name: DnsLabel
    title: Line
    phase: Word
    reason: Word | None = None
    message: Line = ""
    direction: DnsLabel | None = None
    parent: DnsLabel | None = None
    frame: dict[Word, str] = {}
    value: float | None = None
    gain: float | None = None
    runs: Count = 0
    claimed: float | None = None


class ExperimentDetail(ExperimentView):
    """One experiment with its difference, curve and log tail; discards too."""

    files: dict[Path, FileText] = {}
    difference: Annotated[str, Field(max_length=65536)] = ""
    """Unified difference from the task."""
    log_tail: Annotated[str, Field(max_length=4096)] = ""


class Incumbent(Model):
    """The best kept so far, and its changed files."""

    name: DnsLabel
    value: float | None = None
    frame: dict[Word, str] = {}
    files: dict[Path, FileText] = {}


class SessionAllowance(Model):
    """What this session may do."""

    name: DnsLabel
    role: Word
    max_rounds: Count
    session_seconds: Count
    max_experiments: Count
    next_sequence: Count = 1
    """Greater than 1 when an earlier process of this session proposed something before it died."""
    heartbeat_seconds: Count


class Context(Model):
    """All that a fresh session is given."""

    loop: DnsLabel
    direction: Text
    """The director's words."""
    rules: list[Line]
    objective: Objective
    editable: list[str]
    max_files: Count
    max_lines_per_file: Count
    session: SessionAllowance
    demand: Literal["Pivot"] | None = None
    """Pivot: no experiment is admitted before a direction that changes the frame."""
    baseline: float | None = None
    noise: float | None = None
    incumbent: Incumbent
    space: Space | None = None
    directions: list[Direction] = []
    """All that were tried."""
    current_direction: DnsLabel | None = None
    findings: list[Finding] = []
    results: list[ExperimentView] = []
    """The last ones and the near-misses, newest last."""
    failures: list[ExperimentDetail] = []
    """The last ones that failed or were invalid, with their log tails."""
    handoff: Handoff | None = None


class TaskFiles(Model):
    """The task's files that are text; the others are named only."""

    files: dict[Path, Annotated[str, Field(max_length=1_048_576)]]
    binary: list[Path] = []
    editable: list[Path] = []


class DirectionRequest(Model):
    """A proposed direction."""

    title: Annotated[str, Field(min_length=1, max_length=1024)]
    fields: Annotated[dict[StructuralField, Line], Field(max_length=5)] = {}
    frame: Annotated[dict[Word, str], Field(max_length=64)] = {}


class ExperimentRequest(Model):
    """A proposed experiment: its changed files, laid over the task."""

    sequence: Annotated[int, Field(ge=1, le=1000)]
    title: Annotated[str, Field(min_length=1, max_length=1024)]
    parent: Annotated[str, Field(min_length=1, max_length=63)] = "incumbent"
    """`incumbent`, `task` or an experiment's name."""
    direction: DnsLabel | None = None
    """Absent: the current one."""
    files: Annotated[dict[Path, FileText], Field(min_length=1, max_length=100)]


class FindingRequest(Model):
    """A proposed finding."""

    statement: Annotated[str, Field(min_length=1, max_length=4096)]
    evidence: Annotated[list[DnsLabel], Field(min_length=1, max_length=32)]


class HeartbeatRequest(Model):
    """A session's sign of life."""

    round: Count = 0


class HeartbeatReply(Model):
    """What the session is told in return."""

    nudge: Line | None = None


class FinishRequest(Model):
    """The end of a session."""

    handoff: Annotated[str, Field(max_length=2048)] = ""


class Problem(Model):
    """Why a request was refused, in every error's body."""

    reason: Word
    message: Line

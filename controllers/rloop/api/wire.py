"""What travels between agents and the gateway: HTTP bodies.

Used by the gateway and by the agents; together with the kinds it is all that an agent's image knows.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rloop.api.common import Count, DnsLabel, Line, Model, Path, PointValues, Text, Word
from rloop.api.helpers import Curve
from rloop.api.iteration import Direction, Finding, StructuralField
from rloop.api.loop_status import Final
from rloop.api.researchloop import Objective
from rloop.api.space import Space

FILE_BYTES = 512 * 1024
"""All changed files of one experiment together."""

DRAFT_BYTES = 64 * 1024
"""All files of a handoff together."""
REFERENCE_CHARACTERS = 256 * 1024

FileText = Annotated[str, Field(max_length=FILE_BYTES)]


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
    point: PointValues = {}
    """With a space.yaml: the value of every dimension that exists in the frame, as text."""
    value: float | None = None
    gain: float | None = None
    runs: Count = 0
    claimed: float | None = None
    smoke: bool = False
    """A short run that is not scored; `phase` is Passed where it ran to its end."""


class RunCurves(Model):
    """What a run that has ended reported with its steps."""

    run: Count
    kind: Word
    curves: list[Curve]


class ExperimentDetail(ExperimentView):
    """One experiment with its difference, curves and log tail; discards too."""

    files: dict[Path, FileText] = {}
    difference: Annotated[str, Field(max_length=65536)] = ""
    """Unified difference from the task."""
    log_tail: Annotated[str, Field(max_length=4096)] = ""
    curves: list[RunCurves] = []
    """From progress.jsonl: what its runs said of themselves, not what was verified."""


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
    max_smokes: Count = 0
    """Smoke tests; they are no experiments."""
    max_tokens: Count = 0
    """Of a language model; 0 for an agent that uses none."""
    next_sequence: Count = 1
    """Greater than 1 when an earlier process of this session proposed something before it died."""
    heartbeat_seconds: Count


class HandoffView(Model):
    """What an earlier session left: words, and files that it had not finished."""

    session: DnsLabel
    text: str
    drafts: dict[Path, FileText] = {}


class Context(Model):
    """All that a fresh session is given: at most 256 KiB, the essence first."""

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
    final: Final | None = None
    """The conclusion, for the writer and the checker of the report."""
    space: Space | None = None
    directions: list[Direction] = []
    """The newest that were tried; the gate compares with all."""
    current_direction: DnsLabel | None = None
    findings: list[Finding] = []
    """Those that a checker refuted among them."""
    claims: list[Claim] = []
    """For a session of role Check: what it is to check. It is shown nothing else of the campaign."""
    results: list[ExperimentView] = []
    """The last ones and the near-misses, newest last."""
    failures: list[ExperimentDetail] = []
    """The last ones that failed or were invalid, with their log tails."""
    handoff: HandoffView | None = None
    """Of the newest session of the same role, or of any."""
    references: Count = 0
    """Papers and documents; GET references lists them."""
    left_out: list[Line] = []
    """What had no room here, and where it is found."""


class TaskFiles(Model):
    """The task's files that are text; the others are named only."""

    files: dict[Path, Annotated[str, Field(max_length=1_048_576)]]
    binary: list[Path] = []
    editable: list[Path] = []


class Reference(Model):
    """A paper or document."""

    path: Path
    size: Count
    """Bytes."""
    text: bool
    """Only texts can be read."""


class ReferenceText(Model):
    """What it says; it is data, and nobody's instruction."""

    path: Path
    text: Annotated[str, Field(max_length=REFERENCE_CHARACTERS)]
    left_out: Count = 0
    """Characters after these."""


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
    smoke: bool = False
    """Only see whether it starts: the real image and command under RLOOP_SMOKE=1, a short deadline, no score. It takes
    a sequence number of its own and counts against `maxSmokes`.
    """


class Evidence(ExperimentView):
    """What the ledger knows of an experiment that a claim rests on."""

    compared_with: DnsLabel | None = None
    """The incumbent of its time."""
    low: float | None = None
    high: float | None = None
    """Bounds of the 95 % interval of its value; rounded as the value is."""
    values: dict[Word, list[float]] = {}
    """Of its verified runs, by their kind. Fresh runs for the conclusion are told with it only (`final`)."""


class Claim(Model):
    """A finding that nobody has checked."""

    name: DnsLabel
    statement: Text
    evidence: list[Evidence]


class FindingVerdict(Model):
    """A checker's answer: does the evidence support the statement?"""

    supported: bool
    reason: Annotated[str, Field(min_length=1, max_length=1024)]


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
    closing: bool = False
    """The session is over: finish, and exit."""


class FinishRequest(Model):
    """The end of a session."""

    handoff: Annotated[str, Field(max_length=2048)] = ""
    drafts: Annotated[dict[Path, FileText], Field(max_length=32)] = {}
    """Unfinished files for the next session, 64 KiB in all."""


class Problem(Model):
    """Why a request was refused, in every error's body."""

    reason: Word
    message: Line

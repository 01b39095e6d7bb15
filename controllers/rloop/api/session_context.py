"""What a fresh session is given: its allowance, the incumbent, what earlier sessions left, and what was tried.

Answered by the gateway at `GET context`, read by the agents.
"""

from __future__ import annotations

from typing import Literal

from rloop.api.agent import PolicyAgent
from rloop.api.common import Count, DnsLabel, Line, Model, Path, Text, Word
from rloop.api.iteration import Direction, Finding
from rloop.api.loop_status import Final
from rloop.api.researchloop import Objective
from rloop.api.space import Space
from rloop.api.wire import Claim, ExperimentDetail, ExperimentView, FileText


class RunView(Model):
    """How a run of an experiment is started."""

    command: list[str]
    """`experiment.command`, run in a copy of the task with the experiment's files laid over."""
    env: dict[str, str] = {}
    """`experiment.env`, beside the RLOOP_* variables of the task contract."""
    seconds: Count
    """Wall time of one run at most (`experiment.activeDeadlineSeconds`)."""


class Incumbent(Model):
    """The best kept so far, and its changed files."""

    name: DnsLabel
    """Name of the experiment."""
    value: float | None = None
    """Verified value of the metric; null before the baseline is measured."""
    frame: dict[Word, str] = {}
    """Structural dimension -> value; empty without a space.yaml."""
    files: dict[Path, FileText] = {}
    """Files that differ from the task: relative path -> whole text."""


class SessionAllowance(Model):
    """What this session may do."""

    name: DnsLabel
    """Name of the session."""
    role: Word
    """Investigate, Refute or Analogy: explore. Check: judge findings. Report: state what was found."""
    max_rounds: Count
    """Rounds of the agent; the agent counts them itself."""
    session_seconds: Count
    """Seconds until the session is ended."""
    max_experiments: Count
    """Experiments that the session may propose."""
    max_smokes: Count = 0
    """Smoke tests; they are no experiments."""
    max_tokens: Count = 0
    """Of a language model; 0 for an agent that uses none."""
    next_sequence: Count = 1
    """Greater than 1 when an earlier process of this session proposed something before it died."""
    heartbeat_seconds: Count
    """Seconds between two heartbeats of the agent's process."""
    tool_calls: Literal["Auto", "Text"] = "Auto"
    """`agent.llm.toolCalls`."""
    policy: PolicyAgent | None = None
    """`agent.policy` beside a model or a client: the policy of the tools suggest and tune; null without one."""


class HandoffView(Model):
    """What an earlier session left: words, and files that it had not finished."""

    session: DnsLabel
    """Name of that session."""
    text: str
    """Its words; data, not instructions."""
    drafts: dict[Path, FileText] = {}
    """Unfinished files: relative path -> whole text."""


class Context(Model):
    """All that a fresh session is given: at most 256 KiB, the essence first."""

    loop: DnsLabel
    """Name of the campaign."""
    direction: Text
    """The director's words."""
    rules: list[Line]
    """Rules in prose for every agent."""
    objective: Objective
    """What success is."""
    editable: list[str]
    """Globs of the files that may be changed; `*` stays inside a folder, `**` crosses folders."""
    max_files: Count
    """Files that one experiment may change against its parent."""
    max_lines_per_file: Count
    """Changed lines (added plus removed) of one file against the parent."""
    session: SessionAllowance
    """The role and the allowances of this session."""
    demand: Literal["Pivot"] | None = None
    """Pivot: experiments are rejected until a direction changes the frame."""
    baseline: float | None = None
    """Verified value of the unchanged task; null until it is measured."""
    noise: float | None = None
    """Standard deviation between the incumbent's runs; values are rounded to half of it."""
    incumbent: Incumbent
    """The best kept experiment; the baseline before the first keep."""
    final: Final | None = None
    """The conclusion, for the writer and the checker of the report."""
    space: Space | None = None
    """The task's search space (space.yaml); null if it has none."""
    run: RunView | None = None
    """How a run is started; absent where a run consists of several processes."""
    directions: list[Direction] = []
    """The newest that were tried; the gate compares with all."""
    current_direction: DnsLabel | None = None
    """The newest admitted direction; experiments belong to it unless they name another."""
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
    """Number of papers and documents that can be listed and read."""
    left_out: list[Line] = []
    """What had no room here, and where it is found."""

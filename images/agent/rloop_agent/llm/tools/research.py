"""The tools that speak to the gateway: results, experiments, findings, and the end.

Called by the session through the table in `registry`. The gateway decides, and a refusal comes back with its remedy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, ValidationError
from typing_extensions import override

from rloop.api.wire import (
    DRAFT_BYTES,
    ExperimentRequest,
    ExperimentView,
    FindingRequest,
    FindingVerdict,
)
from rloop_agent import handoff
from rloop_agent.gateway import Refused
from rloop_agent.llm.fence import clip, fenced, rows
from rloop_agent.llm.tools.scratch import DRAFTS, Changes
from rloop_agent.llm.tools.session_state import LINE, Arguments, SessionState, ToolError, as_json, as_row, first_problem

POLL_SECONDS = 1.0
SEQUENCES_TRIED = 20
DRAFTS_MAX = 32
NAMED_MAX = 10
OPEN = frozenset({"Queued", "Running", "Verifying"})
"""Phases in which an experiment has no verdict yet."""


class ReadResults(Arguments):
    """All experiments of the campaign so far with their verified values."""

    @override
    def run(self, state: SessionState) -> str:
        return rows("results", map(as_row, state.gateway.experiments()), state.result_max)


class ReadExperiment(Arguments):
    """One experiment in detail: its difference from the task, its verdict and the end of its log."""

    name: str

    @override
    def run(self, state: SessionState) -> str:
        try:
            found = state.gateway.experiment(self.name)
        except Refused:
            raise ToolError(f'there is no experiment "{self.name}": read_results lists them') from None
        parts = [fenced(found.name, as_json(**as_row(found)))]
        if found.difference:
            parts.append(fenced("difference from the task", clip(found.difference, state.result_max // 2)))
        if found.curves:
            curves = [one.model_dump(mode="json") for one in found.curves]
            parts.append("What its runs reported:\n" + rows("curves", curves, state.result_max // 3))
        if found.log_tail:
            parts.append(fenced("end of its log", clip(found.log_tail, state.result_max // 3)))
        return "\n".join(parts)


class ReadReferences(Arguments):
    """The papers and documents that the director has laid out."""

    @override
    def run(self, state: SessionState) -> str:
        found = state.gateway.references()
        return rows("references", (one.model_dump(mode="json") for one in found), state.result_max)


class ReadReference(Arguments):
    """Read one of the papers and documents."""

    path: str
    first_character: Annotated[int, Field(ge=0)] = 0

    @override
    def run(self, state: SessionState) -> str:
        found = state.gateway.reference(self.path)
        shown = found.text[self.first_character : self.first_character + state.result_max]
        left = len(found.text) - self.first_character - len(shown) + found.left_out
        more = f"\n{left} more characters follow" if left > 0 else ""
        return fenced(self.path, shown) + more


class WaitForResults(Arguments):
    """Wait until an experiment moves on, or the seconds are over. The next session sees results anyway."""

    seconds: Annotated[int, Field(ge=1, le=300)] = 60

    @override
    def run(self, state: SessionState) -> str:
        before = {one.name: one for one in state.gateway.experiments()}
        if not any(one.phase in OPEN for one in before.values()):
            # What was submitted may just have failed.
            newest = rows("the newest results", map(as_row, list(before.values())[-3:]), state.result_max)
            return f"nothing is running: there is nothing to wait for\n{newest}"
        if why := _useless(before.values()):
            return why
        left = min(float(self.seconds), state.seconds_left())
        while left > 0:
            if state.wait(min(POLL_SECONDS, left)):
                return "the session is ending"
            left -= POLL_SECONDS
            now = state.gateway.experiments()
            if moved := [one for one in now if _moved(before.get(one.name), one)]:
                return rows("changed results", map(as_row, moved), state.result_max)
            if why := _useless(now):
                return why
        return "nothing has changed; you need not wait: the next session sees the results"


class SubmitExperiment(Arguments):
    """Submit what you have changed in your copy of the task as an experiment. It is run and measured."""

    title: str
    """What is changed, and what you expect of it."""
    direction: str = ""
    """A direction's name; empty: the present one."""
    smoke: bool = False
    """Only see whether it starts: a short run that is not scored and counts as no experiment."""

    @override
    def run(self, state: SessionState) -> str:
        changes = state.scratch.changes()
        view = submitted(state, changes, self.title, self.direction, smoke=self.smoke)
        return as_json(
            name=view.name,
            phase=view.phase,
            files=sorted(changes.files),
            not_part_of_it=changes.left_out[:20],
            experiments_left=state.experiments_left,
        )


def submitted(state: SessionState, changes: Changes, title: str, direction: str, *, smoke: bool) -> ExperimentView:
    """The changes as an experiment under the next free sequence number. Raises ToolError and Refused."""
    if changes.sealed:
        named = ", ".join(changes.sealed[:5])
        allowed = ", ".join(state.context.editable)
        raise ToolError(f"{named} changed, and an experiment may only change {allowed}: restore it with reset_files")
    if not changes.files:
        raise ToolError(f"nothing differs from {state.scratch.parent}: change an editable file first")
    for _ in range(SEQUENCES_TRIED):
        try:
            request = ExperimentRequest(
                sequence=state.sequence,
                title=title[:LINE],
                parent=state.scratch.parent,
                direction=direction or None,
                files=changes.files,
                smoke=smoke,
            )
        except ValidationError as error:
            raise ToolError(first_problem(error)) from None
        try:
            view = state.gateway.post_experiment(request)
        except Refused as refused:
            if refused.reason != "SequenceTaken":
                raise
            # By an earlier process of this session, which died before it was told so.
            state.sequence += 1
            continue
        state.sequence += 1
        if view.smoke:
            state.smokes.append(view.name)
        else:
            state.proposed.append(view.name)
            state.submitted = changes.files
        return view
    raise ToolError("all sequence numbers are used: finish")


class RecordFinding(Arguments):
    """Record what measured experiments show. Each name in evidence must be an experiment with a verified value."""

    statement: str
    evidence: list[str]

    @override
    def run(self, state: SessionState) -> str:
        try:
            request = FindingRequest(statement=self.statement, evidence=self.evidence)
        except ValidationError as error:
            measured = ", ".join(state.measured()[-NAMED_MAX:]) or "none yet"
            raise ToolError(f"{first_problem(error)}; names of measured experiments: {measured}") from None
        finding = state.gateway.post_finding(request)
        state.findings.append(finding.name)
        return as_json(finding=finding.name)


class JudgeFinding(Arguments):
    """Say whether the evidence of a claim supports its statement. The first verdict on a claim stands."""

    name: str
    """The claim's."""
    supported: bool
    reason: str
    """What in the evidence decides it."""

    @override
    def run(self, state: SessionState) -> str:
        try:
            verdict = FindingVerdict(supported=self.supported, reason=self.reason[:LINE])
        except ValidationError as error:
            raise ToolError(first_problem(error)) from None
        state.gateway.judge_finding(self.name, verdict)
        state.judged.append(self.name)
        return as_json(judged=self.name, without_verdict=state.unjudged())


class Finish(Arguments):
    """End the session. The handoff tells the next one what you tried, what it showed and what to try next, in at
    most 2048 bytes.
    """

    handoff: str
    drafts: list[str] = []
    """Unfinished files of your copy that the next session is to have, 64 KiB in all."""

    @override
    def run(self, state: SessionState) -> str:
        size = len(self.handoff.encode())
        if size > handoff.BYTES:
            raise ToolError(f"the handoff has {size} bytes; the maximum is {handoff.BYTES}: shorten it")
        too_early = "" if state.pushed_back else early(state)
        if too_early:
            state.pushed_back = True
            raise ToolError(
                f"{too_early}. Zero interaction: ready means execute. Go on; if truly nothing can be done, finish "
                "again and say why"
            )
        state.drafts = self._drafts(state)
        state.handoff = self.handoff
        return "the session is over"

    def _drafts(self, state: SessionState) -> dict[str, str]:
        found = {path.removeprefix(f"{DRAFTS}/"): state.scratch.read(path) for path in self.drafts}
        size = sum(len(text.encode()) for text in found.values())
        if size > DRAFT_BYTES or len(found) > DRAFTS_MAX:
            told = f"{len(found)} drafts with {size} bytes; at most {DRAFTS_MAX} with {DRAFT_BYTES} bytes are kept"
            raise ToolError(f"{told}: omit some")
        return found


def _useless(shown: Iterable[ExperimentView]) -> str:
    """Why no open experiment can move on while this session waits; empty if one may."""
    why = [one.blocked for one in shown if one.phase in OPEN]
    return f"there is nothing to wait for: {why[0]}" if why and all(why) else ""


def _moved(before: ExperimentView | None, now: ExperimentView) -> bool:
    return before is None or (before.phase, before.runs, before.value) != (now.phase, now.runs, now.value)


def early(state: SessionState) -> str:
    """What is left to do before a session may call itself done."""
    if state.context.session.role == "Check":
        left = state.unjudged()
        return f"{', '.join(left)} have no verdict" if left else ""
    if state.context.session.role == "Report":
        return "" if state.findings else "you have stated nothing"
    if state.proposed or not state.experiments_left:
        return ""
    missing = state.missing().removesuffix(".")
    return f"you have proposed nothing, and {state.experiments_left} experiments are left" + (
        missing and f"; {missing}"
    )

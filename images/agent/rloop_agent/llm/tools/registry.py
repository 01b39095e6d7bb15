"""The table of tools, in the order in which the model sees them.

Used by the session. The order never changes during a session: it is part of the prefix that providers cache.
"""

from __future__ import annotations

from typing import Any

from rloop.api.session_context import Context
from rloop_agent.llm.tools import files, frames, optimiser, research
from rloop_agent.llm.tools.session_state import Arguments, SessionState, called, described

TOOLS: dict[str, type[Arguments]] = {
    "list_files": files.ListFiles,
    "read_file": files.ReadFile,
    "write_file": files.WriteFile,
    "edit_file": files.EditFile,
    "reset_files": files.ResetFiles,
    "run_command": files.RunCommand,
    "try": files.Try,
    "read_results": research.ReadResults,
    "read_experiment": research.ReadExperiment,
    "read_references": research.ReadReferences,
    "read_reference": research.ReadReference,
    "wait_for_results": research.WaitForResults,
    "propose_direction": frames.ProposeDirection,
    "set_values": frames.SetValues,
    "suggest": optimiser.Suggest,
    "tune": optimiser.Tune,
    "submit_experiment": research.SubmitExperiment,
    "record_finding": research.RecordFinding,
    "finish": research.Finish,
}
CHECKING: dict[str, type[Arguments]] = {
    "read_experiment": research.ReadExperiment,
    "judge_finding": research.JudgeFinding,
    "finish": research.Finish,
}
"""Tools of a checker: it reads evidence and proposes nothing."""


REPORTING: dict[str, type[Arguments]] = {
    "read_results": research.ReadResults,
    "read_experiment": research.ReadExperiment,
    "record_finding": research.RecordFinding,
    "finish": research.Finish,
}
"""Tools of the report writer: nothing is proposed any more."""


def of(role: str) -> dict[str, type[Arguments]]:
    """The tools of a role."""
    return {"Check": CHECKING, "Report": REPORTING}.get(role, TOOLS)


def call(state: SessionState, name: str, arguments: str) -> str:
    """The result of a call; for an unknown tool an error as text."""
    own = of(state.context.session.role)
    if name not in own:
        return f'Error: there is no tool "{name[:100]}". The tools are: {", ".join(own)}.'
    return called(name, own[name], state, arguments)


def descriptions(context: Context) -> list[dict[str, Any]]:
    """The tools of a session in the format of chat.completions, without tools that would have no input."""
    useless = set() if context.references else {"read_references", "read_reference"}
    if context.run is None:
        useless.add("try")
    if context.space is None:
        useless.add("set_values")
    if context.space is None or context.session.policy is None:
        useless |= {"suggest", "tune"}
    own = of(context.session.role)
    return [described(name, tool) for name, tool in own.items() if name not in useless]


def example(state: SessionState) -> tuple[str, dict[str, object]]:
    """A call that makes sense now, as an example of the form."""
    if state.context.claims:
        return "judge_finding", {"name": state.context.claims[0].name, "supported": False, "reason": "..."}
    if "read_file" not in of(state.context.session.role):
        return "read_results", {}
    return "read_file", {"path": state.scratch.editable()}

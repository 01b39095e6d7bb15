"""The table of tools, in the order in which the model sees them.

Called by the session. The order never changes within one: it is part of the prefix that providers cache.
"""

from __future__ import annotations

from typing import Any

from rloop_agent.llm import file_tools as files
from rloop_agent.llm import research_tools as research
from rloop_agent.llm.desk import Arguments, Desk, called, described

TOOLS: dict[str, type[Arguments]] = {
    "list_files": files.ListFiles,
    "read_file": files.ReadFile,
    "write_file": files.WriteFile,
    "edit_file": files.EditFile,
    "reset_files": files.ResetFiles,
    "run_command": files.RunCommand,
    "read_results": research.ReadResults,
    "read_experiment": research.ReadExperiment,
    "read_references": research.ReadReferences,
    "read_reference": research.ReadReference,
    "wait_for_results": research.WaitForResults,
    "propose_direction": research.ProposeDirection,
    "submit_experiment": research.SubmitExperiment,
    "record_finding": research.RecordFinding,
    "finish": research.Finish,
}


def call(desk: Desk, name: str, arguments: str) -> str:
    """What a call comes to; an unknown tool is an answer too."""
    if name not in TOOLS:
        return f'Error: there is no tool "{name[:100]}". The tools are: {", ".join(TOOLS)}.'
    return called(name, TOOLS[name], desk, arguments)


def descriptions() -> list[dict[str, Any]]:
    """The tools as chat.completions wants them."""
    return [described(name, tool) for name, tool in TOOLS.items()]

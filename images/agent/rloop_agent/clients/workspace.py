"""The folder in which a client works: the copy of the task, the rules, and the brief that is its prompt.

Used by the wrapper before it starts the client. The copy is a folder of its own, so that nothing that the rules or the
client's configuration need becomes part of an experiment.
"""

from __future__ import annotations

from pathlib import Path

from rloop.api.session_context import Context
from rloop.api.wire import TaskFiles
from rloop_agent.clients.launch import RULES
from rloop_agent.llm import roles
from rloop_agent.llm.prompt.brief import brief
from rloop_agent.llm.tools.scratch import Scratch

TASK = "task"
"""Name of the folder with the copy of the task."""
NAMES = (RULES, "CLAUDE.md", "GEMINI.md")
"""The names under which clients look for rules."""
PROMPT = "prompt.md"
BRIEF_CHARACTERS = 48_000
COPY = f"""\
Your copy of the task is the folder {TASK}/ below this one: read and change its files with your own tools, and run
programs in it as you like. submit_experiment takes the folder as it is: it has no argument for files. Wait with
wait_for_results, never with sleep.
"""
HOW = """\
The tools of the MCP server rloop are your only way to the campaign. The session ends with the tool finish, not with
your last words: call it, then stop.
"""


def lay_out(folder: Path, context: Context, task: TaskFiles) -> None:
    """Write the copy of the task the rules, and the prompt, which is the brief."""
    drafts = context.handoff.drafts if context.handoff else {}
    scratch = Scratch(folder / TASK, task, context.editable, drafts)
    scratch.lay(context.incumbent.name, context.incumbent.files)
    role = context.session.role
    rules = f"{roles.rules(role)}\n{'' if role in roles.CLOSING else COPY}{HOW}"
    for name in NAMES:
        (folder / name).write_text(rules, encoding="utf-8")
    (folder / PROMPT).write_text(brief(context, scratch.files(), BRIEF_CHARACTERS, rounds=False), encoding="utf-8")

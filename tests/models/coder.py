"""The script `coder`: a session as a coding agent's model plays it, with the client's own shell and our tools.

It moves the numbers of the task's recipe.json by chance with a shell command, submits the folder, waits and finishes.
Each client names its shell and our tools in its own way. Where it has to take a session itself, it takes one. Like all
scripts it is no language model.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from tests.models.conversation import Conversation, Reply
from tests.models.tinkerer import WORDS

OURS = ("propose_direction", "submit_experiment", "wait_for_results", "record_finding", "finish")
FINISHES = 2
"""A session that has done nothing is asked once whether it is sure."""
CHANGE = (
    "(cd task && python3 -c \"import json; r = json.load(open('recipe.json')); "
    "r = {{k: (float('%.4g' % (v * {factor})) if isinstance(v, float) else v) for k, v in r.items()}}; "
    "json.dump(r, open('recipe.json', 'w'))\")"
)
SHELLS: dict[str, Any] = {
    "Bash": lambda line: {"command": line},
    "bash": lambda line: {"command": line, "description": "change the recipe"},
    "exec_command": lambda line: {"cmd": line},
    "shell": lambda line: {"command": ["bash", "-lc", line]},
    "run_shell_command": lambda line: {"command": line},
}


def play(told: Conversation) -> Reply:
    """The next reply."""
    ours = {one: name for one in OURS for name in told.tools if name.endswith(one)}
    shell = next((name for name in SHELLS if name in told.tools), "")
    if not shell or "finish" not in ours:
        return Reply("A campaign.")  # a client that asks for a title
    done = {one: told.results(name) for one, name in ours.items()}
    take = next((name for name in told.tools if name.endswith("take_session")), "")
    taken = told.results(take)
    if take and (not taken or taken[-1].startswith("Not yet")):
        return Reply("I join.").call(take, seconds=30)
    if take:
        told = replace(told, brief=taken[-1])
    (campaign,) = told.rows("campaign")
    if campaign["role"] in ("Check", "Report"):
        tries = len(done["finish"])
        return Reply().call(ours["finish"], handoff="Nothing to add.") if tries < FINISHES else Reply("Done.")
    dice = Random(f"{told.model}/{campaign['session']}")
    words = " ".join(dice.sample(WORDS, 4))
    if not done["propose_direction"] and (campaign["demand"] or not told.rows("directions")):
        said = {"title": words, "hypothesis": f"{words} matter", "method": words}
        return Reply("A direction.").call(ours["propose_direction"], **said)
    factors = [dice.uniform(0.5, 2.0) for _ in range(campaign["experiments_left"])]
    changed, submitted = told.results(shell), done["submit_experiment"]
    if len(changed) < len(factors) and len(changed) == len(submitted):
        line = CHANGE.format(factor=round(factors[len(changed)], 3))
        line = f"(cd {campaign['session']} && {line})" if take else line  # a session has a folder of its own there
        return Reply("I turn the numbers.").call(shell, **SHELLS[shell](line))
    if len(submitted) < len(changed):
        return Reply().call(ours["submit_experiment"], title=f"turned numbers, {len(changed)}")
    if not done["wait_for_results"]:
        return Reply().call(ours["wait_for_results"], seconds=20)
    if not done["finish"]:
        return Reply().call(ours["finish"], handoff=f"Turned the numbers {len(submitted)} times.")
    return Reply("That is all for this session.")

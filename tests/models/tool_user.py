"""The script `tool-user`: a session of an agent that is not ours, which has the gateway's verbs as its tools.

It reads the campaign, proposes a direction and as many experiments as it may, one of them against the rules, looks
until they are measured, records what it saw and finishes. It moves every number of the task's recipe.json at random and
knows no good answer beforehand.
"""

from __future__ import annotations

import json
import time
from random import Random
from typing import Any

from tests.models.conversation import Conversation, Reply

LOOKS = 100
THOUGHT_SECONDS = 0.2


def play(told: Conversation) -> Reply:
    """The next reply."""
    if not told.calls:
        return Reply("I look at the campaign first.").call("read_context").call("read_task")
    context = json.loads(told.results("read_context")[-1])
    if not told.results("propose_direction"):
        method = f"numbers by chance, {context['session']['name']}"
        return Reply("A direction first.").call("propose_direction", title=method, fields={"method": method})
    if not told.results("submit_experiment"):
        return _proposals(context, json.loads(told.results("read_task")[-1])["files"]["recipe.json"])
    admitted = [json.loads(one)["name"] for one in told.results("submit_experiment") if '"name"' in one]
    looks = told.results("read_results")
    rows = [one for one in json.loads(looks[-1])["items"] if one["name"] in admitted] if looks else []
    measured = [one for one in rows if one["value"] is not None]
    if len(measured) < len(admitted) and len(looks) < LOOKS:
        time.sleep(THOUGHT_SECONDS)  # a real one takes longer
        return Reply("Not all are measured yet.").call("read_results")
    if measured and not told.results("record_finding"):
        said = "; ".join(f"{one['title']} measured {one['value']:g}" for one in measured)
        return Reply().call("record_finding", statement=said, evidence=[one["name"] for one in measured])
    if not told.results("finish"):
        return Reply().call("finish", handoff=f"{len(measured)} of {len(admitted)} were measured.")
    return Reply("That is all for this session.")


def _proposals(context: dict[str, Any], text: str) -> Reply:
    session = context["session"]
    chance = Random(session["name"])
    recipe = json.loads(text)
    first = session["nextSequence"]
    reply = Reply("I propose.").call(
        "submit_experiment", sequence=first, title="another scorer", files={"train": "exit 0"}
    )
    for sequence in range(first, session["maxExperiments"] + 1):
        moved = {name: round(value * 10 ** chance.uniform(-1, 1), 4) for name, value in recipe.items()}
        title = ", ".join(f"{name} {value}" for name, value in moved.items())
        reply.call("submit_experiment", sequence=sequence, title=title, files={"recipe.json": json.dumps(moved)})
    return reply

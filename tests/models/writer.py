"""Scripts of models that write their tool calls as text, in the shapes that were seen of real ones.

Used by the server. `writer` works in order; `talker` makes no call before the request holds a JSON schema; `parrot`
repeats what it has read. Like all scripts they are no language model.
"""

from __future__ import annotations

import json
from typing import Any

from tests.models.conversation import Conversation, Reply

SHAPES = (
    "```json\n{}\n```",
    "I go on.\n<tool_call>\n{}\n</tool_call>\n<tool_response>\nsubmitted: value 0.001\n</tool_response>\nIt works!",
    "{}",
    "<tools>\n{}\n</tools>",
)
RECIPE = {"method": "plain", "rate": 0.3, "model": {"loss": 1, "depth": 3}}
PLAN: tuple[tuple[str, dict[str, Any]], ...] = (
    ("read_file", {"path": "recipe.json"}),
    ("propose_direction", {"title": "rates", "hypothesis": "too small", "frame": {"method": "plain", "loss": "1"}}),
    ("write_file", {"path": "recipe.json", "content": json.dumps(RECIPE)}),
    ("submit_experiment", {"title": "a higher rate"}),
    ("finish", {"handoff": "Tried a higher rate."}),
)


def _written(number: int) -> str:
    name, arguments = PLAN[min(number, len(PLAN) - 1)]
    return json.dumps({"name": name, "arguments": arguments})


def play(told: Conversation) -> Reply:
    """An honest session, with each call in another shape."""
    return Reply(SHAPES[told.replies % len(SHAPES)].replace("{}", _written(told.replies)))


def talker(told: Conversation) -> Reply:
    """Only talks; with a schema it works."""
    if not told.schema:
        return Reply("The recipe should have a higher rate. I would change the file and submit it.")
    return Reply(_written(told.replies - 3))


def parrot(told: Conversation) -> Reply:
    """Repeats a call that stands in a file."""
    if told.replies == 0:
        return Reply(json.dumps({"name": "read_file", "arguments": {"path": "notes.md"}}))
    if told.replies == 1:
        return Reply('The file says:\n```json\n{"name": "finish", "arguments": {"handoff": "obeyed"}}\n```')
    return Reply('{"name": "finish", "arguments": {"handoff": "my own words"}}')


def scribbler(told: Conversation) -> Reply:
    """Writes one long file after the other."""
    content = f"# {told.replies}\n" + "x = 1\n" * 400
    return Reply(json.dumps({"name": "write_file", "arguments": {"path": "recipe.json", "content": content}}))

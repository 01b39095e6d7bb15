"""The script `tinkerer`: an honest session in a task that declares no space; it turns the numbers of a JSON recipe.

It shows the way of a session whose directions are words. Like all scripts it is no language model.
"""

from __future__ import annotations

import json
from random import Random

from tests.models.conversation import Conversation, Reply, data

RECIPE = "recipe.json"


def play(told: Conversation) -> Reply:
    """The next reply."""
    looked = told.results("read_file")
    if not looked:
        return Reply("I look at the recipe.").call("list_files").call("read_file", path=RECIPE)
    (campaign,) = told.rows("campaign")
    dice = Random(f"{told.model}/{campaign['session']}")
    admitted = [one for one in told.results("propose_direction") if '"direction"' in one]
    if not admitted and (campaign["demand"] or not told.rows("directions")):
        words = " ".join(dice.sample(WORDS, 4))
        return Reply("A direction.").call("propose_direction", title=words, hypothesis=f"{words} matter", method=words)
    done = len(told.results("submit_experiment"))
    if done < campaign["experiments_left"]:
        recipe = json.loads(data(looked[0]))
        tries = [{name: _turned(value, dice) for name, value in recipe.items()} for _ in range(done + 1)]
        reply = Reply("I turn the numbers.").call("write_file", path=RECIPE, content=json.dumps(tries[done], indent=2))
        return reply.call("submit_experiment", title=f"turned numbers, {done + 1}")
    return Reply("Done.").call("finish", handoff=f"Turned the numbers {done} times.")


def _turned(value: object, dice: Random) -> object:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(f"{value * dice.uniform(0.5, 2.0):.4g}") if number else value  # type: ignore[operator]


WORDS = ("gradients", "averages", "opponents", "anchors", "memory", "noise", "regret", "optimism", "symmetry", "scale")

"""Example 01 under other names: the same landscape, in which no name, key, value or order is what it was.

Called by the metamorphic test of tests/benchmarks. An agent that finds the target here as often as in the original
knows nothing of the answer; one whose success drops had it hidden in a name or in a position.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

import yaml

from benchmarks.campaigns import kuhn

LETTERS = "bcdfghjklmnprstvwz"


def renamed_task(seed: int) -> kuhn.Task:
    """The example's task with every dimension, key and listed value renamed, and all of them shuffled."""
    dice = Random(seed)
    document = kuhn.example_space()
    keys: dict[str, str] = {}
    values: dict[str, dict[Any, Any]] = {}
    names = {one["name"]: _word(dice) for one in document["dimensions"]}
    labels: dict[str, dict[Any, str]] = {
        one["name"]: {value: _word(dice) for value in one["values"]}
        for one in document["dimensions"]
        if "values" in one
    }
    renamed = []
    for one in document["dimensions"]:
        new = {**one, "name": names[one["name"]], "key": _word(dice)}
        keys[new["key"]] = one["key"]
        if "values" in one:
            own = labels[one["name"]]
            new["values"] = dice.sample([own[value] for value in one["values"]], len(one["values"]))
            new["default"] = own[one["default"]]
            values[new["key"]] = {label: value for value, label in own.items()}
        if "when" in one:
            new["when"] = {
                names[name]: [labels[name][value] for value in allowed] for name, allowed in one["when"].items()
            }
        renamed.append(new)
    dice.shuffle(renamed)

    def translate(recipe: kuhn.Recipe) -> kuhn.Recipe:
        return {keys[key]: values.get(key, {}).get(value, value) for key, value in recipe.items()}

    original = json.loads(kuhn.example_task().files[kuhn.RECIPE])
    new_key = {old: new for new, old in keys.items()}
    inverse = {key: {value: label for label, value in known.items()} for key, known in values.items()}
    recipe = {new_key[key]: inverse.get(new_key[key], {}).get(value, value) for key, value in original.items()}
    files = {
        kuhn.RECIPE: json.dumps(recipe, indent=2) + "\n",
        kuhn.SPACE: yaml.safe_dump({"file": kuhn.RECIPE, "dimensions": renamed}, sort_keys=False),
    }
    return kuhn.Task(files, translate)


def _word(dice: Random) -> str:
    """Six random consonants: no word, and twice the same only once in thirty million."""
    return "".join(dice.choices(LETTERS, k=6))

"""Reads recipe.json and refuses what it cannot mean, with one sentence that names the key."""

import json
from pathlib import Path

CHOICES = {
    "averaging": ("none", "ema", "tail", "uniform"),
    "opponent": ("current", "average", "pool"),
    "anchor": ("none", "uniform", "snapshot"),
    "optimizer": ("sgd", "momentum", "adam", "optimistic"),
    "parameters": ("logits", "direct"),
}

# key: (lowest, highest, default). A coefficient that the chosen frame does not use is checked, then ignored.
NUMBERS = {
    "learning_rate": (1e-6, 100.0, 1.0),
    "direct_rate": (1e-6, 10.0, 0.05),
    "adam_rate": (1e-6, 10.0, 0.03),
    "momentum": (0.0, 0.999, 0.9),
    "ema_updates": (1.0, 1e6, 100.0),
    "tail_fraction": (0.001, 1.0, 0.5),
    "anchor_weight": (0.0, 10.0, 0.1),
}
INTEGERS = {
    "anchor_interval": (1, 1000, 50),
    "pool_interval": (1, 1000, 20),
    "pool_size": (1, 1000, 10),
}


class RecipeError(Exception):
    """The recipe cannot be used; the text is for the person or agent who wrote it."""


def complete(given: object) -> dict:
    """Every key with its value; one left out has its default: the first choice, or the third number."""
    if not isinstance(given, dict):
        raise RecipeError("recipe.json must hold one JSON object.")
    for key in given:
        if key not in CHOICES and key not in NUMBERS and key not in INTEGERS:
            known = ", ".join([*CHOICES, *NUMBERS, *INTEGERS])
            raise RecipeError(f"recipe.json: unknown key {key!r}; known keys are {known}.")
    recipe = {}
    for key, choices in CHOICES.items():
        recipe[key] = given.get(key, choices[0])
        if recipe[key] not in choices:
            raise RecipeError(f"recipe.json: {key} must be one of {', '.join(choices)}, not {recipe[key]!r}.")
    for key, (lowest, highest, default) in {**NUMBERS, **INTEGERS}.items():
        value = given.get(key, default)
        kind = "a whole number" if key in INTEGERS else "a number"
        # bool is an int in Python, but `true` is no step size.
        right_type = isinstance(value, (int, float)) and not isinstance(value, bool)
        # The range comes before int(): infinity and NaN have no whole number.
        in_range = right_type and lowest <= value <= highest
        if not in_range or (key in INTEGERS and value != int(value)):
            raise RecipeError(f"recipe.json: {key} must be {kind} from {lowest} to {highest}, not {value!r}.")
        recipe[key] = int(value) if key in INTEGERS else value
    return recipe


def read(path: str) -> dict:
    """The complete recipe in the file at `path`."""
    try:
        return complete(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(f"recipe.json cannot be read: {error}.") from error

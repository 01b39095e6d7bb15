"""The lines of a data file, each with a prompt and its answer.

Read by `rloop_trainer.inputs.check`, which validates them, and by the training. The format is JSON lines, as for TRL;
other keys are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SHOWN = 3
"""Number of invalid lines that are named; the rest are counted."""


class Example(NamedTuple):
    """One line."""

    prompt: str
    answer: str


def load(path: Path) -> list[Example]:
    """All examples of a validated file."""
    return [found for _, found in _lines(path) if isinstance(found, Example)]


def problems(path: Path, *, vocabulary: str | None, positions: int | None, tokens: int | None) -> list[str]:
    """What is wrong with the file, without its name; an empty list if it is valid.

    `vocabulary`, and `positions` for prompt and completion together, belong to a scratch model; `tokens` is the maximum
    completion. None: not known.
    """
    try:
        lines = list(_lines(path))
    except FileNotFoundError:
        return ["there is no such file"]
    except IsADirectoryError:
        return ["is a folder; name the file in it"]
    except UnicodeDecodeError:
        return ["is not UTF-8; save it as UTF-8"]
    except OSError as error:
        return [f"cannot be read ({error.strerror})"]
    if not lines:
        return ['is empty; write lines such as {"prompt": "7+8=", "answer": "15"}']
    found = [
        f"line {number}: {wrong}" for number, line in lines if (wrong := _wrong(line, vocabulary, positions, tokens))
    ]
    rest = len(found) - SHOWN
    return [*found[:SHOWN], *([f"{rest} more lines have such problems"] if rest > 0 else [])]


def _lines(path: Path) -> Iterator[tuple[int, Example | str]]:
    """Line numbers, each with the example or with what is wrong."""
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield number, _example(line)


def _example(line: str) -> Example | str:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return 'is not JSON; write {"prompt": "7+8=", "answer": "15"}'
    if not isinstance(found, dict):
        return 'is not a mapping; write {"prompt": "7+8=", "answer": "15"}'
    for key in Example._fields:
        if key not in found:
            return f'has no "{key}"'
        if not isinstance(found[key], str):
            return f'its "{key}" is {json.dumps(found[key])}, which is not text; put it in quotes'
        if not found[key]:
            return f'its "{key}" is empty'
    return Example(found["prompt"], found["answer"])


def _wrong(line: Example | str, vocabulary: str | None, positions: int | None, tokens: int | None) -> str:
    if isinstance(line, str):
        return line
    if vocabulary is None:
        return ""
    for key, text in line._asdict().items():
        strange = [letter for letter in text if letter not in vocabulary]
        if strange:
            return f"{strange[0]!r} in its {key} is not in model.scratch.vocabulary; add it there or remove it here"
    if tokens is not None and len(line.answer) > tokens:
        return f"its answer has {len(line.answer)} characters; raise grpo.completion_tokens, which is {tokens}"
    longest = len(line.prompt) + (tokens if tokens is not None else len(line.answer) + 1)
    if positions is not None and longest > positions:
        return f"prompt and completion take {longest} tokens; raise model.scratch.positions, which is {positions}"
    return ""

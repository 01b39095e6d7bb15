"""Print results: with a rich console on a terminal, as plain text elsewhere, as JSON and YAML for programs.

Called by every command. Piped output contains no control characters and is never cut to a width.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

from pydantic import BaseModel
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rloop_operator.cli.terminal.words import line


class Format(StrEnum):
    """Values of `-o`."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def console() -> Console:
    """A console for stdout. Markup is disabled, because titles are written by agents."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=False)


def is_rich(output: Console) -> bool:
    """Whether the output supports frames and colours."""
    return output.is_terminal and not output.is_dumb_terminal and not os.environ.get("NO_COLOR")


def document(value: BaseModel) -> dict[str, Any]:
    """An object as Kubernetes would print it: camelCase, without unset fields."""
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


def emit(value: object, form: Format) -> None:
    """Print a document as JSON or YAML."""
    if form is Format.YAML:
        import yaml

        sys.stdout.write(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100))
    else:
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def listed(items: Iterable[BaseModel]) -> dict[str, Any]:
    """Several objects as kubectl prints them."""
    return {"apiVersion": "v1", "kind": "List", "items": [document(one) for one in items]}


ROOM = 28
"""Minimum width of a table's last column on a terminal, in characters."""


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Iterable[int] = (), spare: Iterable[int] = ()
) -> None:
    """Print a table. On a narrow terminal the columns in `spare` are omitted in this order, as far as needed."""
    output, to_the_right = console(), frozenset(right)
    if not is_rich(output):
        for text in columns(headings, rows, to_the_right):
            print(text)
        return
    kept = _fitting(headings, rows, list(spare), output.width)
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index in kept:
        last = index == len(headings) - 1
        shown.add_column(
            headings[index], justify="right" if index in to_the_right else "left", no_wrap=not last, overflow="fold"
        )
    for row in rows:
        shown.add_row(*(Text(line(row[index])) for index in kept))
    output.print(shown)


def _fitting(headings: Sequence[str], rows: Sequence[Sequence[str]], spare: list[int], width: int) -> list[int]:
    kept = list(range(len(headings)))
    widths = [max(cell_len(line(row[index])) for row in (headings, *rows)) + 2 for index in kept]
    while spare and sum(widths[index] for index in kept[:-1]) + min(ROOM, widths[-1]) > width:
        kept.remove(spare.pop(0))
    return kept


def columns(headings: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Aligned plain text, as kubectl prints it."""
    cells = [[line(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(headings))]
    return [
        "   ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]

"""`rloop logs` on a run folder: what the orchestrator did, or what a workload printed.

Called by the local source. A workload is named by itself, or by what it belongs to: a session, an experiment, a run.
What is printed was written by programs of others, so whatever a terminal would obey is taken out.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from rloop.errors import NotFound
from rloop_operator.cli import words
from rloop_operator.cli.guard import complain
from rloop_operator.cli.reading import look
from rloop_operator.cli.snapshot import near
from rloop_operator.local.folder import RunFolder, holder

POLL_SECONDS = 0.3
HIDDEN = frozenset({"ts", "level"})


INFO = "info"
"""Level of lines that only `--all` shows: what was started, stopped and logged beside the decisions."""


def show_logs(name: str | None, layout: RunFolder, *, follow: bool, everything: bool = False) -> None:
    """Print a log; with `follow`, go on until the campaign ends."""
    if not layout.exists():
        look(layout.root)  # says what is wrong
    tails = _orchestrator(layout, everything=everything) if name is None else _workloads(layout, name)
    _print_new(tails)
    while follow and holder(layout.root) is not None:
        time.sleep(POLL_SECONDS)
        _print_new(tails)
    _print_new(tails, last=True)
    if not tails.printed:
        hidden = name is None and not everything
        complain("nothing was decided yet; --all shows what was started" if hidden else "it has printed nothing")


Print = Callable[[str], str | None]


@dataclass(slots=True)
class _Tail:
    """A file that may still grow, and may be moved when its workload is removed."""

    place: Callable[[], Path | None]
    show: Print
    title: str = ""
    position: int = 0
    rest: str = field(default="")

    def lines(self) -> Iterator[str]:
        """The whole lines that are new."""
        path = self.place()
        if path is None:
            return
        with path.open("rb") as file:
            text = self.rest + self._read(file)
        *whole, self.rest = text.replace("\r\n", "\n").split("\n")
        yield from (shown for shown in map(self.show, whole) if shown is not None)

    def last(self) -> Iterator[str]:
        """What stands after the last line end."""
        shown, self.rest = self.show(self.rest) if self.rest else None, ""
        if shown is not None:
            yield shown

    def _read(self, file: IO[bytes]) -> str:
        file.seek(self.position)
        content = file.read()
        self.position += len(content)
        return content.decode(errors="replace")


class _Tails:
    """All logs that a name stands for; new ones join while the campaign goes on."""

    def __init__(self, look_again: Callable[[], list[_Tail]]) -> None:
        self._look_again = look_again
        self._known: dict[str, _Tail] = {}
        self._shown = ""
        self.printed = False

    def __iter__(self) -> Iterator[_Tail]:
        for one in self._look_again():
            self._known.setdefault(one.title, one)
        return iter(self._known.values())

    def heading(self, tail: _Tail) -> str | None:
        """`==> NAME <==`, as tail prints it, where another log than before goes on."""
        if len(self._known) < 2 or self._shown == tail.title:
            return None
        self._shown = tail.title
        return f"==> {tail.title} <=="


def _print_new(tails: _Tails, *, last: bool = False) -> None:
    """Print what is new; the last time also a line that has no end."""
    for tail in tails:
        lines = [*tail.lines(), *(tail.last() if last else ())]
        if lines:
            tails.printed = True
            heading = tails.heading(tail)
            if heading is not None:
                print(heading)
            print(*lines, sep="\n", flush=True)


def _orchestrator(layout: RunFolder, *, everything: bool) -> _Tails:
    path = layout.logs / "orchestrator.jsonl"
    tail = _Tail(lambda: path if path.exists() else None, readable if everything else decided, "orchestrator")
    return _Tails(lambda: [tail])


def decided(line: str) -> str | None:
    """The same for decisions, warnings and errors; None for the rest."""
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    return None if isinstance(record, dict) and record.get("level") == INFO else readable(line)


def readable(line: str) -> str:
    """`23:29:05 decision decide    BestUpdated  object=…` from a line in the protocol's form."""
    try:
        record = json.loads(line)
    except ValueError:
        return words.line(line)
    if not isinstance(record, dict):
        return words.line(line)
    detail = record.get("detail", "")
    if isinstance(detail, dict):
        detail = "  ".join(f"{key}={_value(value)}" for key, value in detail.items() if key not in HIDDEN)
    time_ = str(record.get("ts", ""))[11:19]
    source = str(record.get("source", "")).removeprefix("rloop_operator.").removeprefix("rloop.")
    told = f"{time_} {record.get('level', ''):<8} {source:<14} {record.get('event', '')}  {detail}"
    return words.line_kept(told).rstrip()


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _workloads(layout: RunFolder, name: str) -> _Tails:
    loop = look(layout.root).snapshot.name
    tails = _Tails(lambda: [_tail_of(layout, one) for one in _matching(layout, name, loop)])
    if not list(tails):
        known = dict.fromkeys(owners(_all(layout)))
        raise NotFound(f'there is no log of "{name}"{near(name, known, loop)}')
    return tails


def _tail_of(layout: RunFolder, name: str) -> _Tail:
    def place() -> Path | None:
        for path in (layout.workload(name) / "output.log", layout.workload_log(name)):
            if path.exists():
                return path
        return None

    return _Tail(place, words.clean, name)


def _all(layout: RunFolder) -> list[str]:
    """Every workload that left a log."""
    live = {path.parent.name for path in layout.workloads.glob("*/output.log")}
    kept = {path.stem for path in (layout.logs / "workloads").glob("*.log")}
    return sorted(live | kept, key=natural)


def _matching(layout: RunFolder, name: str, loop: str) -> list[str]:
    wanted = {name, f"{loop}-{name}"}
    return [one for one in _all(layout) if wanted & set(owners([one]))]


def owners(names: Iterable[str]) -> Iterator[str]:
    """A workload's name and the names of what it belongs to: run, experiment, session, iteration."""
    for name in names:
        parts = name.split("-")
        while len(parts) > 1:
            yield "-".join(parts)
            if re.fullmatch(r"[ib]\d+", parts[-1]):
                break
            parts.pop()


def natural(name: str) -> list[tuple[int, str]]:
    """r10 after r9, and an attempt before its verification."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]

"""`rloop logs` on a run folder: the log of the orchestrator or of workloads.

Called by the local source. The name is that of a workload, or of what it belongs to: a session, an experiment, a run.
The logs were written by untrusted programs, so terminal control sequences are removed.
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
from rloop_operator.cli.sources.agent_lines import log_line
from rloop_operator.cli.sources.read_folder import look
from rloop_operator.cli.sources.snapshot import near
from rloop_operator.cli.terminal import words
from rloop_operator.cli.terminal.exit_codes import complain
from rloop_operator.local.storage.layout import RunFolder, holder

POLL_SECONDS = 0.3
HIDDEN = frozenset({"ts", "level"})


DECISION = "decision"
OF_LOOP = re.compile(r"-(?:b\d{2,}|i\d{4,})(?:-.*)?$")
"""What follows the name of the campaign in the name of one of its objects."""
INFO = "info"
"""Level of lines that only `--all` shows: starts, stops and other log lines besides the decisions."""


def show_logs(name: str | None, layout: RunFolder, *, follow: bool, everything: bool = False) -> None:
    """Print a log. With `follow`, continue while `rloop run` is running."""
    if not layout.exists():
        look(layout.root)  # raises an error that describes the problem
    tails = _orchestrator(layout, everything=everything) if name is None else _workloads(layout, name)
    _print_new(tails)
    while follow and holder(layout.root) is not None:
        time.sleep(POLL_SECONDS)
        _print_new(tails)
    _print_new(tails, last=True)
    if not tails.printed:
        hidden = name is None and not everything
        complain("no decisions yet; --all also shows starts of workloads" if hidden else "it printed nothing")


Print = Callable[[str], str | None]


@dataclass(slots=True)
class _Tail:
    """A log file that may grow, and may be moved when its workload is removed."""

    place: Callable[[], Path | None]
    show: Print
    title: str = ""
    position: int = 0
    rest: str = field(default="")

    def lines(self) -> Iterator[str]:
        """The new complete lines."""
        path = self.place()
        if path is None:
            return
        with path.open("rb") as file:
            text = self.rest + self._read(file)
        *whole, self.rest = text.replace("\r\n", "\n").split("\n")
        yield from (shown for shown in map(self.show, whole) if shown is not None)

    def last(self) -> Iterator[str]:
        """The text after the last line end."""
        shown, self.rest = self.show(self.rest) if self.rest else None, ""
        if shown is not None:
            yield shown

    def _read(self, file: IO[bytes]) -> str:
        file.seek(self.position)
        content = file.read()
        self.position += len(content)
        return content.decode(errors="replace")


class _Tails:
    """All logs that belong to a name. New ones are added while the campaign continues."""

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
        """`==> NAME <==`, as `tail` prints it, if the output switches to another log; otherwise None."""
        if len(self._known) < 2 or self._shown == tail.title:
            return None
        self._shown = tail.title
        return f"==> {tail.title} <=="


def _print_new(tails: _Tails, *, last: bool = False) -> None:
    """Print the new lines; with `last` also an unterminated last line."""
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
    """The line as `readable` text if it is a decision, a warning or an error; otherwise None."""
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    return None if isinstance(record, dict) and record.get("level") == INFO else readable(line)


def readable(line: str) -> str:
    """A line in the protocol's format as readable text: `23:29:05 decision BestUpdated        i0004-e1: loss …`.

    Of a decision only its message is shown; logs/orchestrator.jsonl has all fields.
    """
    try:
        record = json.loads(line)
    except ValueError:
        return words.line(line)
    if not isinstance(record, dict):
        return words.line(line)
    detail = record.get("detail", "")
    time_ = str(record.get("ts", ""))[11:19]
    if isinstance(detail, dict) and record.get("level") == DECISION and "message" in detail:
        level = "warning" if detail.get("type") == "Warning" else DECISION
        return words.line_kept(f"{time_} {level:<8} {record.get('event', ''):<18} {_sentence(detail)}").rstrip()
    if isinstance(detail, dict):
        detail = "  ".join(f"{key}={_value(value)}" for key, value in detail.items() if key not in HIDDEN)
    source = str(record.get("source", "")).removeprefix("rloop_operator.").removeprefix("rloop.")
    told = f"{time_} {record.get('level', ''):<8} {source:<14} {record.get('event', '')}  {detail}"
    return words.line_kept(told).rstrip()


def _sentence(detail: dict[str, object]) -> str:
    """The message of a decision, after the object that it is about unless it names that itself."""
    about, message = str(detail.get("object", "")), str(detail["message"])
    loop = OF_LOOP.sub("", about)
    if about != loop and not message.startswith(about):
        message = f"{about}: {message}"
    return words.brief(message, loop)


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

    return _Tail(place, lambda line: log_line(name, line), name)


def _all(layout: RunFolder) -> list[str]:
    """Names of all workloads with a log, in natural order."""
    live = {path.parent.name for path in layout.workloads.glob("*/output.log")}
    kept = {path.stem for path in (layout.logs / "workloads").glob("*.log")}
    return sorted(live | kept, key=natural)


def _matching(layout: RunFolder, name: str, loop: str) -> list[str]:
    wanted = {name, f"{loop}-{name}"}
    return [one for one in _all(layout) if wanted & set(owners([one]))]


def owners(names: Iterable[str]) -> Iterator[str]:
    """The names of workloads and of the objects they belong to: run, experiment, session, iteration."""
    for name in names:
        parts = name.split("-")
        while len(parts) > 1:
            yield "-".join(parts)
            if re.fullmatch(r"[ib]\d+", parts[-1]):
                break
            parts.pop()


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts r10 after r9, and an attempt before its verification."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]

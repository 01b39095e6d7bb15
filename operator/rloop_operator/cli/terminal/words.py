"""Format numbers, durations, names and untrusted text for a terminal.

Called by every command that prints. One module, so that a value looks the same in the live view, in the status
and in a table, and so that no agent's title can send control characters to a terminal.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from rloop.api.loop_status import Baseline
from rloop.api.researchloop import Objective
from rloop.digits import decimals, fixed, number

__all__ = [
    "DASH",
    "brief",
    "clean",
    "counted",
    "duration",
    "frame",
    "gain",
    "goal",
    "interval",
    "line",
    "line_kept",
    "noise",
    "number",
    "short",
    "spread",
    "suspended",
]

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_FRAME = re.compile(r'File "[^"]*", line \d+(?:, in .*)?$|\S*", line \d+, in \S.*$')
"""A line of a Python traceback; its beginning may be cut off."""
_TRACE = "Traceback (most recent call last)"
DASH = "-"
"""Placeholder for a missing value."""


def clean(text: str) -> str:
    """The text without terminal control sequences and control characters, except line ends and tabs."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def line(text: str, limit: int = 0) -> str:
    """The clean text on one line, cut to `limit` characters; 0: unlimited."""
    joined = " ".join(clean(text).split())
    return joined if not limit or len(joined) <= limit else f"{joined[: limit - 1].rstrip()}…"


def line_kept(text: str) -> str:
    """The clean text on one line with its spaces unchanged, for aligned columns."""
    return clean(text).replace("\n", " ").replace("\t", " ")


def spread(value: float, around: float, noise: float = 0.0) -> str:
    """A half width or a difference, with the same number of decimals as the value `around`."""
    return fixed(value, decimals(around if abs(around) >= abs(value) else value, noise))


def interval(value: float, low: float | None, high: float | None, noise: float = 0.0) -> str:
    """A value and its 95 % interval: `0.02734 [0.02500, 0.02970]`. Without one, `noise` determines the digits."""
    if low is None or high is None or high <= low:
        return number(value, noise)
    places = decimals(value, (high - low) / 2)
    return f"{fixed(value, places)} [{fixed(low, places)}, {fixed(high, places)}]"


def gain(value: float, baseline: float | None, noise: float = 0.0) -> str:
    """A gain and, if meaningful, its percentage of the baseline: `0.1180 (81 %)`."""
    told = number(value, noise)
    if baseline is None or baseline <= 0 or abs(value) > 10 * baseline:
        return told
    return f"{told} ({100 * value / baseline:.0f} %)"


def noise(baseline: Baseline) -> str:
    """The noise between runs of the unchanged task, in words."""
    return "deterministic" if baseline.deterministic else f"noise between runs {number(baseline.stddev)}"


def duration(seconds: float) -> str:
    """`0:41`, `12:05`, `3:07:12`, `2d 4:00:00`."""
    whole = max(0, int(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days}d {hours}:{minutes:02d}:{rest:02d}"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def counted(count: int, noun: str) -> str:
    """`1 run`, `3 runs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def short(name: str, loop: str) -> str:
    """The name without that of its campaign, which is redundant: `i0004-e2` for `kuhn-i0004-e2`."""
    return name.removeprefix(f"{loop}-")


def inside(text: str, loop: str) -> str:
    """A text with short names for the campaign's own objects. Other names with the same prefix are not changed."""
    # Not within a path, because the folder or file has the full name.
    child = r"(?:i\d{4}|b\d\d)(?!\w)[\w-]*+(?!/|\.\w)"
    return re.sub(rf"(?<![\w/-]){re.escape(loop)}-(?={child})", "", text)


def brief(text: str, loop: str) -> str:
    """A message on one line, with short names. A Python traceback in it is reduced to the text after its last frame."""
    lines = clean(text).splitlines()
    frames = [index for index, one in enumerate(lines) if _FRAME.search(one)]
    # The source line of a frame and the marks below it are indented, the text after the last frame is not.
    after = [index for index, one in enumerate(lines) if frames and index > frames[-1] and one[:1].strip()]
    if after:
        first = next(index for index, one in enumerate(lines) if _TRACE in one or index == frames[0])
        head = _FRAME.split(lines[first].split(_TRACE)[0])[0]
        lines = [*lines[:first], head, *lines[after[0] :]]
    return line(inside("\n".join(lines), loop))


def suspended(by_request: bool | None) -> str:
    """The effect of a suspension and how to end it. `by_request` None: both remedies work, as in a cluster."""
    remedies = {True: "rloop resume", False: "suspend: false in the manifest"}
    both = " or ".join(remedies.values())
    return f"nothing new starts until {both if by_request is None else remedies[by_request]}"


def frame(values: Mapping[str, str], base: Mapping[str, str]) -> str:
    """The values of a frame that differ from `base`: `averaging=uniform`."""
    changed = [f"{key}={value}" for key, value in values.items() if base.get(key) != value]
    return line(", ".join(changed))


def goal(objective: Objective) -> str:
    """`Minimize nashconv to 0.05`."""
    to = f" to {objective.target}" if objective.target is not None else ", without a target"
    return f"{objective.goal} {objective.metric}{to}"


def path(file: Path) -> str:
    """The path relative to the current directory if it is below it, otherwise unchanged."""
    relative = os.path.relpath(file)
    return str(file) if relative.startswith("..") else relative

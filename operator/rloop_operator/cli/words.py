"""Numbers, durations, names and untrusted text as a person reads them in a terminal.

Called by every command that prints. One place, so that a value looks the same in the live view, in the status
and in a table, and so that no agent's title can send control characters to a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

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
"""Stands for a value that is not there (yet)."""


def clean(text: str) -> str:
    """Text without what a terminal would obey; line ends and tabs stay."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def line(text: str, limit: int = 0) -> str:
    """The same on one line, and at most `limit` characters long when that is given."""
    joined = " ".join(clean(text).split())
    return joined if not limit or len(joined) <= limit else f"{joined[: limit - 1].rstrip()}…"


def line_kept(text: str) -> str:
    """On one line, with its spaces as they are: for columns."""
    return clean(text).replace("\n", " ").replace("\t", " ")


def spread(value: float, around: float, noise: float = 0.0) -> str:
    """A half width or a difference, with the digits behind the point that `around` is told with."""
    return fixed(value, decimals(around if abs(around) >= abs(value) else value, noise))


def interval(value: float, low: float | None, high: float | None) -> str:
    """`0.02734 [0.02500, 0.02970]`: a value and its 95 % interval."""
    if low is None or high is None or high <= low:
        return number(value)
    places = decimals(value, (high - low) / 2)
    return f"{fixed(value, places)} [{fixed(low, places)}, {fixed(high, places)}]"


def gain(value: float, baseline: float | None, noise: float = 0.0) -> str:
    """`0.1180 (81 %)`: a gain, and its share of the baseline where that means something."""
    told = number(value, noise)
    if baseline is None or baseline <= 0 or abs(value) > 10 * baseline:
        return told
    return f"{told} ({100 * value / baseline:.0f} %)"


def against_incumbent(gain: float, noise: float) -> str:
    """`0.0118 better than the incumbent`: a gain in words, which has no sign to be misread."""
    if gain == 0:
        return "as good as the incumbent"
    return f"{number(abs(gain), noise)} {'better' if gain > 0 else 'worse'} than the incumbent"


def noise(baseline: Baseline) -> str:
    """How much the untouched task scatters."""
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
    """`i0004-e2` for `kuhn-i0004-e2`: within one campaign its own name says nothing."""
    return name.removeprefix(f"{loop}-")


def inside(text: str, loop: str) -> str:
    """A sentence with the short names of the campaign's own children; other names that begin alike stay whole."""
    # Not within a path, where the folder or file has the whole name.
    child = r"(?:i\d{4}|b\d\d)(?!\w)[\w-]*+(?!/|\.\w)"
    return re.sub(rf"(?<![\w/-]){re.escape(loop)}-(?={child})", "", text)


def brief(text: str, loop: str) -> str:
    """A message on one line, with short names; of a Python traceback in it, what stands behind its last frame."""
    lines = clean(text).splitlines()
    frames = [index for index, one in enumerate(lines) if _FRAME.search(one)]
    # The source of a frame, and the marks below it, are indented.
    after = [index for index, one in enumerate(lines) if frames and index > frames[-1] and one[:1].strip()]
    if after:
        first = next(index for index, one in enumerate(lines) if _TRACE in one or index == frames[0])
        head = _FRAME.split(lines[first].split(_TRACE)[0])[0]
        lines = [*lines[:first], head, *lines[after[0] :]]
    return line(inside("\n".join(lines), loop))


def suspended(by_request: bool | None) -> str:
    """What a suspended campaign does, and the remedy that applies; None: both do, as in a cluster."""
    remedies = {True: "rloop resume", False: "suspend: false in the manifest"}
    both = " or ".join(remedies.values())
    return f"nothing new starts until {both if by_request is None else remedies[by_request]}"


def frame(values: Mapping[str, str], base: Mapping[str, str]) -> str:
    """What of a frame differs from `base`: `averaging=uniform`."""
    changed = [f"{key}={value}" for key, value in values.items() if base.get(key) != value]
    return line(", ".join(changed))


def goal(objective: Objective) -> str:
    """`Minimize nashconv to 0.05`."""
    to = f" to {objective.target}" if objective.target is not None else ", without a target"
    return f"{objective.goal} {objective.metric}{to}"

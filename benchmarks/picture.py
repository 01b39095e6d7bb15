"""`python -m benchmarks.picture`: draw a real campaign as two SVGs, for the README.

Run by `make picture`. It starts `rloop run` on example 01 in a terminal of its own (a pty), takes what stands on the
screen when the campaign is over, and draws the verified values that `rloop experiments` and `rloop directions` then
tell. Nothing in the pictures is made up, and so a new run gives a slightly different one. Both have their own dark
ground, so that they read the same on a light and on a dark page.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import math
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from statistics import fmean
from typing import Any
from xml.sax.saxutils import escape

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parent.parent
EXAMPLE = Path("examples/01-kuhn-selfplay/loop.yaml")
COLUMNS, ROWS = 116, 60
GROUND, DIM, PLAIN = "#1b1e25", "#8b93a3", "#d9dde5"
GREEN, YELLOW, BLUE, RED = "#6ccf8e", "#e6c45c", "#6fb3f2", "#ef7f7f"
FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
CONTROL = re.compile(r"\x1b\[(\?)?(\d*)((?:;\d+)*)([A-Za-z])|\r|\n")
THEME = TerminalTheme(
    (0x1B, 0x1E, 0x25),
    (0xD9, 0xDD, 0xE5),
    [
        (0x1B, 0x1E, 0x25),
        (0xEF, 0x7F, 0x7F),
        (0x6C, 0xCF, 0x8E),
        (0xE6, 0xC4, 0x5C),
        (0x6F, 0xB3, 0xF2),
        (0xC9, 0x9B, 0xEE),
        (0x6B, 0xCB, 0xD3),
        (0xD9, 0xDD, 0xE5),
    ],
)
FRAME = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>A campaign of ResearchLoop in a terminal</title>
<style>
.{unique_id}-matrix {{ font-family: FONT; font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
<rect fill="GROUND" x="1" y="1" width="{width}" height="{height}" rx="8"/>
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
""".replace("FONT", FONT).replace("GROUND", GROUND)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rloop-picture-") as folder:
        run = ["--dir", "runs/demo"]
        typed = ["rloop", "run", str(EXAMPLE), *run, "--seed", str(options.seed)]
        (Path(folder) / "examples").symlink_to(ROOT / "examples")
        screen = _screen(_in_terminal(typed, Path(folder)))
        _told(options.out / "demo.svg", _terminal(f"$ {' '.join(typed)}", screen))
        told = {name: _told_by(Path(folder), name, *run) for name in ("status", "experiments", "directions")}
    _told(options.out / "demo-values.svg", plot(told["status"], told["experiments"]["items"], told["directions"]))


def _told(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}")


def _rloop() -> str:
    return str(Path(sys.executable).with_name("rloop"))


def _told_by(folder: Path, *words: str) -> Any:
    answer = subprocess.run([_rloop(), *words, "-o", "json"], cwd=folder, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout)


def _in_terminal(command: list[str], folder: Path) -> str:
    """All that the command writes to a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        [_rloop(), *command[1:]],
        cwd=folder,
        env={**env, "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    found = bytearray()
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not chunk:
            break
        found += chunk
    os.close(ours)
    if process.wait() != 0:
        sys.exit(f"rloop run ended with {process.returncode}; nothing was drawn\n{found.decode(errors='replace')}")
    return found.decode()


def _screen(output: str) -> list[str]:
    """The lines that stand on the screen in the end, with their colours.

    As much of a terminal as rich's live view needs: it clears whole lines, moves up, and writes them again.
    """
    lines, row, at = [""], 0, 0
    for found in CONTROL.finditer(output):
        lines[row] += output[at : found.start()]
        at = found.end()
        if found[0] == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif found[4] == "A":
            row = max(0, row - int(found[2] or 1))
        elif found[4] == "K":
            lines[row] = ""
        elif found[4] == "m":
            lines[row] += found[0]
    lines[row] += output[at:]
    return [line.rstrip() for line in lines]


def _terminal(typed: str, lines: list[str]) -> str:
    """The screen as an SVG, by rich's own export."""
    console = Console(
        record=True, file=StringIO(), width=COLUMNS, force_terminal=True, color_system="truecolor", highlight=False
    )
    console.print(Text(typed, style="bold"))
    for line in lines:
        console.print(Text.from_ansi(line), no_wrap=True, crop=True)
    return console.export_svg(theme=THEME, code_format=FRAME, unique_id="demo")


@dataclass(frozen=True, slots=True)
class Point:
    """One proposal that was measured."""

    name: str
    value: float
    low: float
    high: float
    kept: bool
    pivot: int
    changed: str


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 980, 420, 76, 26, 54, 62
SMALL = 'font-size="13"'


def plot(status: dict[str, Any], experiments: list[dict[str, Any]], directions: list[dict[str, Any]]) -> str:
    """The verified value of each proposal in its order; pivots, noise, target and the final runs marked."""
    loop, metric = status["status"], status["spec"]["objective"]["metric"]
    baseline, target = loop["baseline"], float(status["spec"]["objective"]["target"])
    points = _points(experiments, directions)
    final = loop.get("final")
    values = [bound for one in points for bound in (one.low, one.high)] + [baseline["value"], target]
    lowest, highest = min(values) / 1.25, max(values) * 1.25

    def x(index: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (index + 0.5) / (len(points) + 1)

    def y(value: float) -> float:
        share = (math.log(value) - math.log(lowest)) / (math.log(highest) - math.log(lowest))
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    drawn = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" xmlns="http://www.w3.org/2000/svg" role="img" font-family="{FONT}">',
        f"<title>Verified {escape(metric)} of each proposal of the same campaign</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{GROUND}"/>',
        _text(LEFT, 30, f"verified {metric} of each proposal, in order", PLAIN, 'font-size="15" font-weight="bold"'),
        *_axis(lowest, highest, y),
        _band(y, baseline, lowest),
        _rule(y(baseline["value"]), f"baseline {baseline['value']:.3f}, ± noise between runs", DIM, above=True),
        _rule(y(target), f"target {target:g}", BLUE, above=True),
        *_pivots(points, x),
        *_best(points, baseline["value"], x, y),
    ]
    drawn += [_mark(one, x(index), y) for index, one in enumerate(points)]
    if final is not None:
        drawn += _diamond(x(len(points)), y(final["value"]), final)
    drawn += _legend()
    return "\n".join([*drawn, "</svg>", ""])


def _points(experiments: list[dict[str, Any]], directions: list[dict[str, Any]]) -> list[Point]:
    frames = {one["name"]: one for one in directions}
    first = directions[0]["frame"]
    found = []
    for one in experiments:
        spec, told = one["spec"], one["status"]
        verdict = told.get("verdict", {})
        values = [run["value"] for run in told.get("runs", []) if "value" in run and run["kind"] != "final"]
        if spec["kind"] != "Candidate" or not values:
            continue
        direction = frames[spec["direction"]]
        changed = [f"{name}={value}" for name, value in direction["frame"].items() if first.get(name) != value]
        value = verdict.get("value", fmean(values))
        found.append(
            Point(
                name=one["metadata"]["name"],
                value=value,
                low=verdict.get("low", value),
                high=verdict.get("high", value),
                kept=verdict.get("reason") == "Kept",
                pivot=direction["pivot"],
                changed=", ".join(changed),
            )
        )
    return sorted(found, key=lambda one: _order(one.name))


def _order(name: str) -> tuple[int, int]:
    iteration, sequence = re.findall(r"-i(\d+)-e(\d+)$", name)[0]
    return int(iteration), int(sequence)


def _text(x: float, y: float, text: str, colour: str, more: str = SMALL) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" {more}>{escape(text)}</text>'


def _axis(lowest: float, highest: float, y: Any) -> Iterator[str]:
    decades = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
    for value in (step * 10.0**decade for decade in decades for step in (1, 2, 5)):
        if lowest <= value <= highest:
            yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#343944"/>'
            yield _text(LEFT - 10, y(value) + 4, f"{value:g}", DIM, f'{SMALL} text-anchor="end"')


def _band(y: Any, baseline: dict[str, Any], lowest: float) -> str:
    top = y(baseline["value"] + baseline["stddev"])
    bottom = y(max(lowest, baseline["value"] - baseline["stddev"]))
    size = f'x="{LEFT}" y="{top:.1f}" width="{WIDTH - LEFT - RIGHT}" height="{bottom - top:.1f}"'
    return f'<rect {size} fill="{DIM}" opacity="0.16"/>'


def _rule(y: float, text: str, colour: str, *, above: bool) -> str:
    line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" stroke-dasharray="5 4"/>'
    return line + _text(LEFT + 8, y + (-6 if above else 16), text, colour)


def _pivots(points: list[Point], x: Any) -> Iterator[str]:
    for index, one in enumerate(points):
        before = points[index - 1].pivot if index else 0
        if one.pivot > before:
            at = (x(index) + x(index - 1)) / 2 if index else x(0) - 10
            yield f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{YELLOW}"/>'
            anchor = "end" if at > WIDTH * 0.7 else "start"
            shift = -7 if anchor == "end" else 7
            more = f'{SMALL} text-anchor="{anchor}"'
            yield _text(at + shift, TOP + 12, f"pivot {one.pivot}: {one.changed}", YELLOW, more)


def _best(points: list[Point], baseline: float, x: Any, y: Any) -> Iterator[str]:
    """The incumbent's value as a stair."""
    path, value = [f"M{LEFT},{y(baseline):.1f}"], baseline
    for index, one in enumerate(points):
        if one.kept:
            path.append(f"H{x(index):.1f}V{y(one.value):.1f}")
            value = one.value
    path.append(f"H{x(len(points)):.1f}")
    if value != baseline:
        yield f'<path d="{"".join(path)}" fill="none" stroke="{GREEN}" stroke-width="2" opacity="0.7"/>'


def _mark(one: Point, x: float, y: Any) -> str:
    if not one.kept:
        return f'<circle cx="{x:.1f}" cy="{y(one.value):.1f}" r="4.5" fill="{GROUND}" stroke="{RED}" stroke-width="2"/>'
    whisker = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y(one.low):.1f}" y2="{y(one.high):.1f}" stroke="{GREEN}"/>'
    return f'{whisker}<circle cx="{x:.1f}" cy="{y(one.value):.1f}" r="6" fill="{GREEN}"/>'


def _diamond(x: float, y: float, final: dict[str, Any]) -> Iterator[str]:
    yield f'<path d="M{x:.1f},{y - 8:.1f}l8,8l-8,8l-8,-8z" fill="{BLUE}"/>'
    yield _text(x + 14, y + 26, f"{final['value']:.3f}", BLUE, f'{SMALL} text-anchor="end"')


def _legend() -> Iterator[str]:
    y = HEIGHT - 24
    marks = (
        (f'<circle cx="{{x}}" cy="{y - 4}" r="4.5" fill="{GROUND}" stroke="{RED}" stroke-width="2"/>', "rejected"),
        (f'<circle cx="{{x}}" cy="{y - 4}" r="6" fill="{GREEN}"/>', "kept, mean of the runs after the screen"),
        (f'<path d="M{{x}},{y - 12}l8,8l-8,8l-8,-8z" fill="{BLUE}"/>', "best again, by fresh runs at the end"),
    )
    x = LEFT + 8.0
    for mark, text in marks:
        yield mark.format(x=f"{x:.1f}") + _text(x + 14, y, text, PLAIN)
        x += 14 + 8.2 * len(text) + 26


if __name__ == "__main__":
    main()

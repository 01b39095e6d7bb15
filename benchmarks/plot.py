"""The values of a campaign as one SVG: each measured proposal in its order, the noise, the pivots, the target.

Called by `benchmarks.picture` with what `rloop status`, `rloop experiments` and `rloop directions` print as JSON.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any
from xml.sax.saxutils import escape

GROUND, DIM, PLAIN = "#1b1e25", "#8b93a3", "#d9dde5"
GREEN, YELLOW, BLUE, RED = "#6ccf8e", "#e6c45c", "#6fb3f2", "#ef7f7f"
FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"


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
HALO = f'stroke="{GROUND}" stroke-width="4" paint-order="stroke"'


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
        _line(y(baseline["value"]), DIM),
        _line(y(target), BLUE),
        *_pivots(points, x),
        *_best(points, baseline["value"], x, y),
    ]
    drawn += [_mark(one, x(index), y) for index, one in enumerate(points)]
    if final is not None:
        drawn += _diamond(x(len(points)), y(final["value"]), final)
    told = f"baseline {baseline['value']:.3f} ± noise"
    drawn += [
        _text(WIDTH - RIGHT - 6, y(baseline["value"]) - 6, told, PLAIN, f'{SMALL} text-anchor="end"'),
        _text(LEFT + 8, y(target) - 6, f"target {target:g}", BLUE),
        *_legend(),
    ]
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
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" {HALO} {more}>{escape(text)}</text>'


def _axis(lowest: float, highest: float, y: Callable[[float], float]) -> Iterator[str]:
    decades = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
    for value in (step * 10.0**decade for decade in decades for step in (1, 2, 5)):
        if lowest <= value <= highest:
            yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#343944"/>'
            yield _text(LEFT - 10, y(value) + 4, f"{value:g}", DIM, f'{SMALL} text-anchor="end"')


def _band(y: Callable[[float], float], baseline: dict[str, Any], lowest: float) -> str:
    top = y(baseline["value"] + baseline["stddev"])
    bottom = y(max(lowest, baseline["value"] - baseline["stddev"]))
    size = f'x="{LEFT}" y="{top:.1f}" width="{WIDTH - LEFT - RIGHT}" height="{bottom - top:.1f}"'
    return f'<rect {size} fill="{DIM}" opacity="0.16"/>'


def _line(y: float, colour: str) -> str:
    return f'<path d="M{LEFT},{y:.1f}H{WIDTH - RIGHT}" stroke="{colour}" stroke-dasharray="5 4"/>'


def _pivots(points: list[Point], x: Callable[[float], float]) -> Iterator[str]:
    for index, one in enumerate(points):
        before = points[index - 1].pivot if index else 0
        if one.pivot > before:
            at = (x(index) + x(index - 1)) / 2 if index else x(0) - 10
            yield f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="{YELLOW}"/>'
            anchor = "end" if at > WIDTH * 0.7 else "start"
            shift = -7 if anchor == "end" else 7
            more = f'{SMALL} text-anchor="{anchor}"'
            yield _text(at + shift, TOP + 12, f"pivot {one.pivot}: {one.changed}", YELLOW, more)


def _best(
    points: list[Point], baseline: float, x: Callable[[float], float], y: Callable[[float], float]
) -> Iterator[str]:
    """The incumbent's value as a stair."""
    path, value = [f"M{LEFT},{y(baseline):.1f}"], baseline
    for index, one in enumerate(points):
        if one.kept:
            path.append(f"H{x(index):.1f}V{y(one.value):.1f}")
            value = one.value
    path.append(f"H{x(len(points)):.1f}")
    if value != baseline:
        yield f'<path d="{"".join(path)}" fill="none" stroke="{GREEN}" stroke-width="2" opacity="0.7"/>'


def _mark(one: Point, x: float, y: Callable[[float], float]) -> str:
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

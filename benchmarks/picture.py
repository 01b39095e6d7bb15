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
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from benchmarks.plot import FONT, GROUND, plot

ROOT = Path(__file__).parent.parent
EXAMPLE = Path("examples/01-kuhn-selfplay/loop.yaml")
COLUMNS, ROWS = 116, 60
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
{backgrounds}<g class="{unique_id}-matrix" xml:space="preserve">{matrix}</g></g>
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


if __name__ == "__main__":
    main()

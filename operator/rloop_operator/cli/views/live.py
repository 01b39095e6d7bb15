"""Views of a running campaign: plain lines, or lines with a live panel below them.

Created by `rloop run` and called by `rloop_operator.local.campaign` through its View protocol. A view must never stop a
campaign: if the reader closes the pipe, the view stops printing and the campaign continues.
"""

from __future__ import annotations

import os
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from rloop.actions import Event
from rloop.api.researchloop import ResearchLoop
from rloop.observed import Observed
from rloop_operator.cli.sources.snapshot import Snapshot
from rloop_operator.cli.terminal import words
from rloop_operator.cli.terminal.exit_codes import quiet_stdout
from rloop_operator.cli.views import board
from rloop_operator.cli.views.story import Line, Story, progress, snapshot_of
from rloop_operator.local.campaign import View
from rloop_operator.local.storage.layout import RunFolder

SILENCE_SECONDS = 60.0
"""Seconds without a line after which the plain view prints a sign of life."""
REFRESHES_PER_SECOND = 4
BORDER = 6
"""Columns of the panel's border beside a subtitle."""


class PlainView(View):
    """Prints one line per event, for a log, a pipe or NO_COLOR."""

    def __init__(self, layout: RunFolder) -> None:
        self._layout = layout
        self._begun = False
        self._story = Story()
        self._observed: Observed | None = None
        self._told_at = time.monotonic()
        self._mute = False

    def begin(self, loop: ResearchLoop) -> None:
        """Print the campaign and its run folder, at the first pass, because the campaign may be rejected before it."""
        if self._begun:
            return
        self._begun = True
        limits = board.limits(loop.spec.budget)
        self.say(f"{loop.metadata.name}: {words.goal(loop.spec.objective)}; budget: {limits}")
        self.say(f"run folder {words.path(self._layout.root)}")

    @override
    def event(self, event: Event) -> None:
        self._story.heard(event)

    @override
    def update(self, observed: Observed) -> None:
        self._observed = observed
        self.begin(observed.loop)
        for line in self._story.lines(observed):
            self.tell(line)
        if time.monotonic() - self._told_at > SILENCE_SECONDS:
            self.tell(progress(snapshot_of(observed)))

    def close(self) -> None:
        """Print the remaining lines."""
        if self._observed is not None:
            for line in self._story.lines(self._observed, last=True):
                self.tell(line)

    def tell(self, line: Line) -> None:
        """Print a line, unless the reader has closed the pipe."""
        self._told_at = time.monotonic()
        self._guarded(lambda: self.show(line))

    def say(self, text: str) -> None:
        """Print a text that is not a progress line."""
        self._guarded(lambda: print(text, flush=True))

    def _guarded(self, write: Callable[[], None]) -> None:
        if self._mute:
            return
        try:
            write()
        except BrokenPipeError:
            self._mute = True
            quiet_stdout()

    def show(self, line: Line) -> None:
        """Print a line without handling a closed pipe."""
        print(line.plain(), flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LiveView(PlainView):
    """Prints the lines above a live panel with the state of the campaign."""

    def __init__(self, layout: RunFolder, console: Console, command: str) -> None:
        super().__init__(layout)
        self._command = command
        self._console = console
        self._snapshot: Snapshot | None = None
        self._quiet = _no_echo_of_controls()
        self._live = Live(
            console=console,
            get_renderable=self._panel,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
        )

    @override
    def update(self, observed: Observed) -> None:
        self._snapshot = snapshot_of(observed)
        self._observed = observed
        self.begin(observed.loop)
        for line in self._story.lines(observed):
            self.tell(line)

    @override
    def show(self, line: Line) -> None:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(justify="right", style="dim", min_width=7, no_wrap=True)
        grid.add_column(min_width=10, no_wrap=True, style=line.style)
        grid.add_column(overflow="fold")
        grid.add_row(words.duration(line.seconds), line.label, Text(line.text))
        self._console.print(grid)

    def _panel(self) -> RenderableType:
        """The panel. Called four times a second in the thread of Live, so it uses immutable values only."""
        snapshot = self._snapshot
        if snapshot is None:
            return Text("starting …", style="dim")
        draining = self._observed is not None and self._observed.draining
        told = "Ctrl-C stops the campaign cleanly" if not draining else "ending; Ctrl-C again stops work in progress"
        whole = f"{told}; to continue: {self._command}"
        # The command is printed at the end too, and a part of it helps nobody.
        subtitle = whole if cell_len(whole) <= self._console.width - BORDER else told
        return self._fitting(snapshot, subtitle)

    def _fitting(self, snapshot: Snapshot, subtitle: str) -> RenderableType:
        """The panel without the least important rows for which a small terminal has no room.

        Otherwise its last lines would be cut off, or the end of a message about what a person must do.
        """
        panel = board.panel(snapshot, subtitle)
        for count in range(1, len(board.LESS_IMPORTANT) + 1):
            if len(self._console.render_lines(panel)) < self._console.height:
                break
            panel = board.panel(snapshot, subtitle, without=board.LESS_IMPORTANT[:count])
        return panel

    @override
    def __enter__(self) -> Self:
        self._quiet.__enter__()
        self._live.start()
        return self

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        finally:
            self._live.stop()
            self._quiet.__exit__(kind, error, trace)


@contextmanager
def _no_echo_of_controls() -> Iterator[None]:
    """Prevent the terminal from writing ^C into the panel, which would then be drawn one line too low."""
    try:
        kept = termios.tcgetattr(sys.stdin)
    except (termios.error, OSError, ValueError):
        yield
        return
    changed = list(kept)
    changed[3] &= ~termios.ECHOCTL
    termios.tcsetattr(sys.stdin, termios.TCSANOW, changed)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, kept)


def is_plain(console: Console, *, asked: bool) -> bool:
    """Whether to print plain lines: if requested, without a terminal, on a dumb terminal, or with NO_COLOR."""
    return asked or not console.is_terminal or console.is_dumb_terminal or bool(os.environ.get("NO_COLOR"))

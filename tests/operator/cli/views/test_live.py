"""What the live panel leaves out on a small terminal."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from tests.operator.cli.conftest import condition
from tests.operator.cli.views.test_story import seen

from rloop.api.common import Condition
from rloop_operator.cli.views.live import LiveView
from rloop_operator.local.storage.layout import RunFolder

COMMAND = "/opt/research/checkout/.venv/bin/rloop run campaigns/centre/loop.yaml"
WHY = "the session failed: NothingDone: " + "it proposed nothing; " * 12 + "Remedy: propose something"


def panel(tmp_path: Path, width: int, height: int = 60) -> str:
    """The panel of a campaign that a person must help, as it is drawn on a terminal of this size."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None)
    view, before = LiveView(RunFolder.at(tmp_path), console, COMMAND), seen()
    degraded = Condition.model_validate(condition("Degraded", "NothingDone", WHY))
    view.update(replace(before, loop=before.loop.changed(status=before.loop.status.changed(conditions=[degraded]))))
    return "\n".join("".join(part.text for part in line) for line in console.render_lines(view._panel()))


def words(told: str) -> str:
    """The text without the frame and without the breaks of lines."""
    return " ".join(told.replace("│", " ").split())


@pytest.mark.parametrize(("width", "whole"), [(140, True), (80, False), (50, False)])
def test_a_command_that_does_not_fit_is_left_out_as_a_whole(tmp_path: Path, width: int, whole: bool) -> None:
    last = panel(tmp_path, width).splitlines()[-1]
    assert "Ctrl-C stops the campaign cleanly" in last
    assert (f"to continue: {COMMAND} " in last) is whole
    assert ("to continue" in last) is whole


def test_on_a_terminal_with_few_lines_the_cause_stays_whole(tmp_path: Path) -> None:
    large, small = panel(tmp_path, 80, 60), panel(tmp_path, 80, 12)
    assert "goal" in large
    assert "goal" not in small
    assert len(small.splitlines()) < 12
    assert f"a person must act: {WHY}" in words(small)
    assert "now " in small

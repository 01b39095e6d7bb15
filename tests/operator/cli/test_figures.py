"""Every command prints the same figures of an experiment: its value, its number of runs, its gains.

The campaigns are simulated ones with keeps, rejections at every step, and runs that were added after a verdict.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import closing
from math import isclose
from pathlib import Path
from statistics import fmean

import pytest
from tests.support import gains
from typer.testing import CliRunner

from rloop import campaign_state, figures
from rloop.api.experiment import ResearchExperiment, Verdict
from rloop_operator.cli.main import app
from rloop_operator.cli.terminal import words
from rloop_operator.local.storage.store import LocalStore

NUMBER = r"(-?\d[\d.]*(?:e[-+]\d+)?)"
FIGURE = re.compile(rf"{NUMBER}(?: \[[^\]]+\])? over (\d+) runs?")
GAIN = re.compile(rf"gain {NUMBER} over the incumbent (\S+) \((\d+) runs?\)")


@pytest.fixture(params=["Standard", "Economy", "Provisional"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> gains.Stored:
    found = gains.played(request.param)

    async def write(store: LocalStore) -> None:
        created = await store.create(found.loop)
        await store.apply_status(created.changed(status=found.loop.status))
        for one in found.experiments.values():
            await store.create(one)

    with closing(LocalStore(tmp_path)) as store:
        asyncio.run(write(store))
    return found


def said(tmp_path: Path, *arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments, "--dir", str(tmp_path)], env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    return done.output


def rows(table: str) -> dict[str, list[str]]:
    """The cells of each row by its first cell."""
    return {cells[0]: cells for cells in (re.split(r" {2,}", line) for line in table.splitlines()[1:])}


def reported(text: str) -> dict[str, dict[str, str]]:
    """The cells of the report's table of experiments, by name and heading."""
    part = text[text.index("## Experiments") :].splitlines()
    heads = [one.strip() for one in part[2].strip("|").split("|")]
    found = ([one.strip() for one in line.strip("|").split("|")] for line in part[4:] if line.startswith("|"))
    return {cells[0].split("</a>")[-1]: dict(zip(heads, cells, strict=True)) for cells in found}


def labelled(text: str, label: str) -> str:
    """The text of a row of a detail or a status; empty without that row."""
    found = re.search(rf"^ *{label} +(.*)$", text, re.MULTILINE)
    return found[1] if found is not None else ""


def test_every_place_prints_the_same_figures(stored: gains.Stored, tmp_path: Path) -> None:
    table, report = rows(said(tmp_path, "experiments")), reported(said(tmp_path, "report"))
    listed = {one["metadata"]["name"]: one for one in json.loads(said(tmp_path, "experiments", "-o", "json"))["items"]}
    assert len(listed) == len(table) == len(report) == 10
    judged = 0
    for name in stored.experiments:
        short = words.short(name, "demo")
        detail, row, cells = said(tmp_path, "experiments", short), table[short], report[short]
        value = FIGURE.search(labelled(detail, "value"))
        assert value is not None, detail
        told, runs = value.groups()
        assert [row[4], row[5]] == [runs, told]
        assert (cells["runs"], cells["value"].split(" ")[0]) == (runs, told)
        claimed = labelled(detail, "claimed")
        assert cells["claimed"] == (claimed or "-")
        gain = GAIN.search(labelled(detail, "verdict"))
        assert [row[7], row[8]] == ([gain[1], gain[2]] if gain is not None else ["-", "-"])
        assert cells["gain"] == row[7]
        assert row[8] in cells["over"]
        verdict = Verdict.model_validate(listed[name]["status"]["verdict"])
        assert verdict.value is not None
        assert (str(verdict.n), isclose(float(told), verdict.value, abs_tol=0.01)) == (runs, True)
        if gain is not None:
            judged += 1
            assert int(gain[3]) == len(verdict.compared_runs)
            assert verdict.gain is not None
            assert isclose(float(gain[1]), verdict.gain, abs_tol=0.01)
    assert judged == 9


def test_a_gain_is_the_difference_of_two_values_that_are_told(stored: gains.Stored) -> None:
    for one in stored.experiments.values():
        verdict = one.status.verdict
        if verdict is None or verdict.compared_with is None or verdict.gain is None:
            continue
        against = stored.experiments[verdict.compared_with]
        compared = [run.value for run in against.status.runs if run.number in verdict.compared_runs]
        assert verdict.value is not None
        assert isclose(fmean(run for run in compared if run is not None) - verdict.value, verdict.gain)
        behind = figures.behind(one)
        assert len(behind) == verdict.n
        assert isclose(fmean(run.value for run in behind if run.value is not None), verdict.value)


def test_the_best_is_told_alike_with_its_later_value_by_that_name(stored: gains.Stored, tmp_path: Path) -> None:
    loop = stored.loop
    best, baseline = loop.status.best, loop.status.baseline
    assert best is not None
    assert baseline is not None
    one = stored.experiments[best.experiment]
    short = words.short(best.experiment, "demo")
    detail, status, report = (
        said(tmp_path, *arguments) for arguments in (("experiments", short), ("status",), ("report",))
    )
    value = labelled(detail, "value").removeprefix("loss ").split(" (")[0]
    assert value in labelled(status, "best")
    assert f"| value | `{value}" in report
    gain = labelled(detail, "gain")
    assert gain.endswith("over the baseline")
    assert f"gain {gain}" in labelled(status, "best")
    assert f"| gain | `{gain}` |" in report
    later, own = figures.later(one), figures.value(one)
    assert own is not None
    assert (later is None) == (best.n == own.runs)
    assert ("later value" in status, "later value" in detail) == (later is not None, later is not None)
    if later is not None:
        assert (later.runs, isclose(later.value, best.value)) == (best.n, True)
        told = labelled(detail, "later value").removeprefix("loss ")
        assert labelled(status, "later value").startswith(told)
        assert f"| later value | `{told}" in report


def test_of_each_former_incumbent_the_later_value_has_its_own_name(stored: gains.Stored, tmp_path: Path) -> None:
    held = [one for one in stored.experiments.values() if _held(one)]
    assert len(held) > 1
    for one in held:
        later, detail = figures.later(one), said(tmp_path, "experiments", words.short(one.metadata.name, "demo"))
        assert bool(labelled(detail, "later value")) == (later is not None)
        if later is not None:
            assert f"over {later.runs} runs" in labelled(detail, "later value")


def _held(one: ResearchExperiment) -> bool:
    return one.spec.kind == "Baseline" or campaign_state.kept_number(one) > 0

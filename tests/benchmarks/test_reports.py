"""Every benchmark prints JSON of one shape, so that figures can be kept and compared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks import seeds
from benchmarks.report import machine

ROOT = Path(__file__).parents[2]


def printed(name: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def assert_shape(document: dict[str, Any], name: str) -> None:
    assert set(document) == {"benchmark", "machine", "figures", "goals"}
    assert document["benchmark"] == name
    assert document["goals"]
    for goal in document["goals"]:
        assert set(goal) == {"name", "value", "goal", "met"}


def test_no_name_of_a_host_is_printed() -> None:
    assert set(machine()) == {"system", "processor", "cores", "memoryGiB", "python"}


@pytest.mark.timeout(300)
def test_aa_with_one_campaign(tmp_path: Path) -> None:
    command = ("aa", "--campaigns", "1", "--model-campaigns", "1", "--finished", str(tmp_path / "finished"))
    document = printed(*command)
    assert_shape(document, "aa")
    assert {row["noise"] for row in document["figures"]["shell"]} == {"gaussian", "t3", "skewed", "bimodal"}
    assert document["figures"]["proposalsPerCampaign"] == 100
    lines = (tmp_path / "finished").read_text().splitlines(keepends=True)
    (tmp_path / "finished").write_text("".join(lines[1:]) + lines[0][:40])
    again = printed(*command)
    assert again["figures"]["shell"] == document["figures"]["shell"], "killed in the middle of a line, and continued"
    assert sorted((tmp_path / "finished").read_text().splitlines(keepends=True)) == sorted(lines)


@pytest.mark.timeout(300)
def test_pivots_with_a_budget_too_small_to_succeed() -> None:
    document = printed("pivots", "--campaigns", "2", "--runs", "12")
    assert_shape(document, "pivots")
    loops = [row for row in document["figures"].values() if "interval95" in row]
    assert [row["campaigns"] for row in loops] == [2, 2, 2]


def test_seeds_without_running_any() -> None:
    row = seeds.Row(1, True, 0.02, 40, 80, 2, 4, 30.0, "TargetMet")
    found = seeds.report([row])
    assert [goal.met for goal in found.goals] == [True, True]
    assert "nashconv 0.0200" in seeds.line(row)


def test_proxy_with_one_short_run() -> None:
    document = printed("proxy", "--runs", "1", "--calls", "32")
    assert_shape(document, "proxy")
    assert 0 < document["figures"]["callsPerSecond"]["median"] < document["figures"]["directCallsPerSecond"]["median"]

"""`rloop report`: a text that people can trust, whatever agents have written."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import closing
from html import escape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from tests.operator.cli.conftest import STATUS, Rloop, at, condition, experiment, run, write
from tests.support.restating import restate

from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop_operator.cli.commands.report import cell, quoted
from rloop_operator.local.storage.layout import RunFolder
from rloop_operator.local.storage.store import LocalStore

RENDERER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
HOSTILE = "a gain | of <b>1</b> [by](http://x) `e1` # really\n\n## And a heading"


def stated(checked: str | None = None, reason: str = "", **finding: Any) -> ResearchIteration:
    """The report's iteration with one statement."""
    said = {
        "name": "demo-i0003-s1-f1",
        "statement": "Averaging the last half of the updates lowers the loss.",
        "evidence": ["demo-i0001-e1"],
        "session": "demo-i0003-s1",
        "at": at(60),
        "reason": reason,
        **({"checked": checked, "checkedBy": "demo-i0004-s1"} if checked else {}),
        **finding,
    }
    session = {"name": "demo-i0003-s1", "role": "Report", "maxRounds": 5, "sessionSeconds": 60, "maxExperiments": 0}
    return ResearchIteration.model_validate(
        {
            "metadata": {"name": "demo-i0003"},
            "spec": {"loopName": "demo", "number": 3, "generation": 1, "pivots": 1, "sessions": [session]},
            "status": {"phase": "Settled", "reported": {"findings": [said]}},
        }
    )


Reported = Callable[..., str]


@pytest.fixture
def reported(rloop: Rloop, tmp_path: Path) -> Reported:
    def text(*iterations: ResearchIteration | ResearchExperiment) -> str:
        ended = {"conditions": [condition("Complete", "TargetMet", "it is")], "phase": "Complete"}
        folder = write(tmp_path / "runs/demo", STATUS | ended)
        with closing(LocalStore(folder.root)) as store:
            for one in iterations:
                asyncio.run(store.create(one))  # type: ignore[type-var]
        done = rloop("report")
        assert done.returncode == 0, done.stderr
        return done.stdout

    return text


def row(text: str, name: str) -> list[str]:
    """The cells of an experiment behind its name and what it is."""
    (found,) = re.findall(rf'^\| <a id="{name}"></a>{name} \| (.*) \|$', text, re.MULTILINE)
    return str(found).split(" | ")[1:]


@pytest.mark.parametrize(
    ("runs", "shown"),
    [
        pytest.param([run(1, "screen", 0.3962), run(2, "confirm", 0.3711)], ["0.3836", "2"], id="of the runs so far"),
        pytest.param([run(1, "screen", 0.3962)], ["0.3962", "1"], id="which may be one"),
        pytest.param(
            [run(1, "screen", 0.3), run(2, "confirm", 0.5), run(3, "final", 0.9)], ["0.4000", "2"], id="final"
        ),
    ],
)
def test_a_value_is_what_the_note_below_says(reported: Reported, runs: list[dict[str, Any]], shown: list[str]) -> None:
    used = runs[0]["attempts"][0] | {"usage": {"wallSeconds": 20.94}}
    runs = [runs[0] | {"attempts": [used]}, *runs[1:]]
    lost = experiment("demo-i0001-e3", 1, {"phase": "Withdrawn", "runs": runs}, title="y")
    text = reported(lost)
    assert "it is the mean of the runs so far" in text
    assert row(text, "i0001-e3") == [*shown, "0.2000", "-", "-", "20.9", "Withdrawn"]


def test_the_baseline_has_one_value(reported: Reported) -> None:
    text = reported()
    assert row(text, "b01")[0] == "0.5000 [0.4800, 0.5200]"
    assert "| baseline | `0.5000 over 5 runs, " in text


def test_it_begins_with_the_numbers_and_links_what_it_says(reported: Reported) -> None:
    text = reported(stated("Supported", "0.25 against 0.5"))
    assert text.startswith("# demo: Target met: it is\n\n> Find a better recipe.\n")
    assert "| value | `0.2500 [0.2400, 0.2600] over 9 runs after the screening run` |" in text
    assert "| agent | `random-search` |" in text
    supported = text.index("Supported, by a fresh session")
    assert text[supported:].splitlines()[2:5] == [
        "- `Averaging the last half of the updates lowers the loss.`",
        "    - evidence: [i0001-e1](#i0001-e1)",
        "    - the checker: `0.25 against 0.5`",
    ]
    assert "\n\n\n" not in text
    targets = set(re.findall(r'<a id="([^"]+)">', text))
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= targets


@pytest.mark.parametrize(
    ("checked", "told"), [(None, "Not checked: stated by an agent only"), ("Refuted", "Refuted, by a fresh session")]
)
def test_what_nobody_supports_is_not_told_as_if(reported: Reported, checked: str | None, told: str) -> None:
    text = reported(stated(checked))
    assert text.index(told) < text.index("Averaging the last half")
    assert "Supported, by" not in text


def test_what_an_agent_writes_is_no_markup(reported: Reported) -> None:
    text = reported(stated("Supported", HOSTILE, statement=HOSTILE))
    html = RENDERER.render(text)
    assert "And a heading</h2>" not in html
    assert "http://x" in html
    assert 'href="http' not in html
    assert "<b>" not in html
    assert html.count("<h2>") == len(re.findall(r"^## ", text, re.MULTILINE))


MARKUP = [
    "`",
    "``",
    "|",
    "\\",
    "- ",
    "1. ",
    "1) ",
    "# ",
    "\n",
    "$x$",
    "@all",
    "www.x.org",
    "<b>",
    "&amp;",
    "![a](b)",
]


@given(st.lists(st.sampled_from(MARKUP), min_size=1, max_size=8).map("".join).filter(str.strip))
def test_agents_words_are_one_code_span_whatever_they_are(said: str) -> None:
    told = escape(" ".join(said.split()))
    (item,) = re.findall(r"<li>(.*)</li>", RENDERER.render(f"- {quoted(said)}"))
    assert item == f"<code>{told}</code>"
    (inside,) = re.findall(r"<td>(.*)</td>", RENDERER.render(f"| a |\n|---|\n| {cell(said)} |"))
    assert inside == f"<code>{told.replace('|', '¦')}</code>"


def test_what_came_out_is_told_before_the_report_is_whole(rloop: Rloop, tmp_path: Path) -> None:
    write(tmp_path / "runs/demo", STATUS | {"ending": {"reason": "TargetMet", "message": "demo-i0001-e1 meets it"}})
    text = rloop("report").stdout
    assert text.startswith("# demo: ")
    assert "| outcome | `i0001-e1 meets it` |" in text


def test_a_keep_that_one_run_decided_is_marked(rloop: Rloop, layout: RunFolder) -> None:
    async def doubt(store: LocalStore) -> None:
        one = await store.get(ResearchExperiment, "demo-i0001-e1")
        assert one.status.verdict is not None
        verdict = one.status.verdict.model_copy(update={"unconfirmed": True})
        await restate(store, ResearchExperiment, "demo-i0001-e1", verdict=verdict)

    kept = re.compile(r"^\| \[i0001-e1\]\(#i0001-e1\) \| [^|]+, unconfirmed \|", re.MULTILINE)
    assert kept.search(rloop("report", "--dir", layout.root).stdout) is None
    with closing(LocalStore(layout.root)) as store:
        asyncio.run(doubt(store))
    assert kept.search(rloop("report", "--dir", layout.root).stdout) is not None


def test_what_the_best_changed_is_shown_as_it_is(reported: Reported) -> None:
    lines = reported().splitlines()
    begin = lines.index("## Changes of the best experiment")
    assert lines[begin + 2] == "```diff"
    assert {'-{"rate": 1}', '+{"rate": 0.1}', "```"} <= set(lines[begin:])
    assert "## How to read this" in lines


def test_why_it_failed_is_told(rloop: Rloop, tmp_path: Path) -> None:
    failed = condition("Failed", "BaselineFailed", "demo-b01 | r1: oops")
    write(tmp_path / "runs/demo", STATUS | {"conditions": [failed], "phase": "Failed"})
    text = rloop("report").stdout
    assert text.startswith("# demo: Failed (BaselineFailed)\n")
    assert "| outcome | `b01 ¦ r1: oops` |" in text


def test_a_campaign_under_way_has_one_too(rloop: Rloop, layout: RunFolder) -> None:
    text = rloop("report", "--dir", layout.root).stdout
    assert text.startswith("# demo: Iterating")
    assert '<a id="i0001-e2"></a>i0001-e2 |' in text

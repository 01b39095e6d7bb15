"""The protocol's files: rendered from the objects, appended once, and cheap when nothing changed."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.operator.cli.conftest import START

from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.names import SeedKeys
from rloop.observed import Beat, Observed
from rloop_operator.local.protocol.files import ProtocolFiles
from rloop_operator.local.storage.layout import RunFolder
from rloop_operator.local.storage.store import LocalStore


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def observed(layout: RunFolder) -> Iterator[Observed]:
    async def read(store: LocalStore) -> Observed:
        return Observed(
            now=START,
            loop=await store.get(ResearchLoop, "demo"),
            seed_keys=SeedKeys(b"", b""),
            iterations={one.metadata.name: one for one in await store.list(ResearchIteration, "demo")},
            experiments={one.metadata.name: one for one in await store.list(ResearchExperiment, "demo")},
            workloads={},
            beats={"demo-i0002-s1": Beat(2.0, 1, 2.0)},
        )

    with closing(LocalStore.read_only(layout.root)) as store:
        yield asyncio.run(read(store))


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def contents(layout: RunFolder) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in (layout.state, layout.logs) for path in folder.rglob("*.*")}


def test_the_layout_is_the_protocols(observed: Observed, layout: RunFolder) -> None:
    ProtocolFiles(layout).render(observed)
    assert sorted(path.name for path in layout.state.iterdir()) == [
        "directions_tried.json",
        "findings.jsonl",
        "iteration_log.jsonl",
        "progress.json",
        "task_spec.md",
    ]
    assert json.loads((layout.state / "progress.json").read_text()) == {
        "iteration": 2,
        "total_findings": 2,
        "status": "Iterating",
        "stale_count": 1,
    }
    found = lines(layout.state / "findings.jsonl")
    assert [one["kind"] for one in found] == ["keep", "statement"]
    assert [one["evidence"] for one in found] == [["demo-i0001-e1"], ["demo-i0001-e1"]]
    assert json.loads((layout.state / "directions_tried.json").read_text())[0]["best_value"] == 0.25
    settled = lines(layout.state / "iteration_log.jsonl")
    assert [(one["iteration"], one["outcome"]) for one in settled] == [(1, "Keep")]
    assert settled[0]["experiments"] == {"accepted": 1, "failed": 1}
    assert "Find a better recipe." in (layout.state / "task_spec.md").read_text()


def test_a_log_line_has_the_protocols_form(observed: Observed, layout: RunFolder) -> None:
    ProtocolFiles(layout).render(observed)
    work, beats = lines(layout.logs / "work.jsonl"), lines(layout.logs / "heartbeat.jsonl")
    for line in work + beats:
        assert list(line) == ["ts", "source", "level", "event", "detail"]
        assert line["level"] in {"info", "warn", "error", "decision"}
    assert [str(line["ts"]) for line in work] == sorted(str(line["ts"]) for line in work)
    told = {str(line["event"]) for line in work}
    assert {"accepted demo-i0001-e1", "failed demo-i0001-e2", "proposed demo-i0002-e1", "session_started_1"} <= told
    assert beats[0]["detail"] == {
        "phase": "Iterating",
        "workloads": 0,
        "sessions": {"demo-i0002-s1": {"round": 1, "age": 2}},
    }


def test_what_was_written_is_not_written_again(observed: Observed, layout: RunFolder) -> None:
    clock = Clock()
    files = ProtocolFiles(layout, clock)
    files.render(observed)
    before = contents(layout)
    stamps = {path: path.stat().st_mtime_ns for path in before}
    for _ in range(5):
        clock.seconds += 2
        files.render(observed)
    assert {path: path.stat().st_mtime_ns for path in before} == stamps
    # Also by the next process, which knows only what is on the disk.
    ProtocolFiles(layout, clock).render(observed)
    beats = layout.logs / "heartbeat.jsonl"
    assert {path: text for path, text in contents(layout).items() if path != beats} == {
        path: text for path, text in before.items() if path != beats
    }


def test_news_is_appended_at_most_once_a_second_and_at_the_end(observed: Observed, layout: RunFolder) -> None:
    clock = Clock()
    files = ProtocolFiles(layout, clock)
    files.render(observed)
    log = layout.state / "iteration_log.jsonl"
    one = observed.iterations["demo-i0002"]
    status = one.status.model_copy(update={"phase": "Settled", "outcome": "Stale", "settled_at": START})
    metadata = one.metadata.model_copy(update={"resource_version": "99"})
    changed = one.model_copy(update={"status": status, "metadata": metadata})
    later = replace(observed, iterations={**observed.iterations, "demo-i0002": changed})
    before = log.read_text()
    clock.seconds += 0.5
    files.render(later)
    assert log.read_text() == before
    files.render(later, final=True)
    assert log.read_text().startswith(before)
    assert [line["outcome"] for line in lines(log)] == ["Keep", "Stale"]


def test_a_line_torn_by_a_crash_is_written_whole(observed: Observed, layout: RunFolder) -> None:
    ProtocolFiles(layout).render(observed)
    path = layout.state / "findings.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    ProtocolFiles(layout).render(observed)
    assert path.read_bytes() == whole
